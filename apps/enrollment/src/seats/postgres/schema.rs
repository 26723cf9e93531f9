//! The tables, and every statement that runs on them.

/// Seats, and what follows from them. `taken` is kept beside the rows of `enrolments`, as applications do that must show
/// free seats often; a strategy that loses count of it oversells.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS sections (
        id text PRIMARY KEY,
        capacity int NOT NULL,
        taken int NOT NULL DEFAULT 0,
        version bigint NOT NULL DEFAULT 0,
        fence bigint NOT NULL DEFAULT 0,
        opens_at bigint
    );
    CREATE TABLE IF NOT EXISTS students (
        id text PRIMARY KEY,
        version bigint NOT NULL DEFAULT 0,
        fence bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS enrolments (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        student text NOT NULL,
        section text NOT NULL,
        key text NOT NULL,
        since bigint NOT NULL,
        dropped_at bigint,
        drop_key text
    );
    CREATE INDEX IF NOT EXISTS enrolments_of_student ON enrolments (student);
    CREATE INDEX IF NOT EXISTS enrolments_of_section ON enrolments (section) WHERE dropped_at IS NULL;
    CREATE TABLE IF NOT EXISTS outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        enrolment bigint NOT NULL,
        student text NOT NULL,
        section text NOT NULL,
        system text NOT NULL,
        undo boolean NOT NULL DEFAULT false,
        before bigint,
        due_at bigint NOT NULL DEFAULT 0,
        tries int NOT NULL DEFAULT 0
    );";

/// What the database itself sees to. A naive application has not thought of it.
pub(super) const CONSTRAINTS: &str = "
    CREATE UNIQUE INDEX IF NOT EXISTS one_enrolment_a_key ON enrolments (key);
    CREATE UNIQUE INDEX IF NOT EXISTS one_seat_a_student ON enrolments (student, section) WHERE dropped_at IS NULL;";
pub(super) const NO_CONSTRAINTS: &str = "CREATE INDEX IF NOT EXISTS enrolments_by_key ON enrolments (key);";

pub(super) const ADD_SECTIONS: &str =
    "INSERT INTO sections (id, capacity) SELECT * FROM unnest($1::text[], $2::int[]) ON CONFLICT DO NOTHING";
pub(super) const ADD_STUDENTS: &str =
    "INSERT INTO students (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";

/// The places of statements in [`STATEMENTS`].
pub(super) mod at {
    pub(in super::super) const LOCK_STUDENT: usize = 0;
    pub(in super::super) const OF_STUDENT: usize = 1;
    pub(in super::super) const SECTION: usize = 2;
    pub(in super::super) const LOCK_SECTION: usize = 3;
    pub(in super::super) const ENROL_LOCKED: usize = 4;
    pub(in super::super) const STUDENT: usize = 5;
    pub(in super::super) const ENROL_UNCHANGED: usize = 6;
    pub(in super::super) const FENCE_STUDENT: usize = 7;
    pub(in super::super) const FENCE_SECTION: usize = 8;
    pub(in super::super) const ENROL_FENCED: usize = 9;
    pub(in super::super) const COUNT: usize = 10;
    pub(in super::super) const ENROL_NAIVELY: usize = 11;
    pub(in super::super) const SET_TAKEN: usize = 12;
    pub(in super::super) const ADD_JOBS: usize = 13;
    pub(in super::super) const DROP: usize = 14;
}

/// What follows an enrolment, once `new` has its row.
macro_rules! with_jobs {
    ($before:literal) => {
        concat!(
            $before,
            ", jobs AS (
                INSERT INTO outbox (enrolment, student, section, system)
                SELECT new.id, $1, $2, system FROM new, unnest(ARRAY['mail', 'record', 'fee']) AS system)
            SELECT new.id, seat.version FROM new, seat"
        )
    };
}

/// What every connection for changes prepares. Student is `$1`, section `$2`, wherever both are.
pub(super) const STATEMENTS: &[&str] = &[
    "SELECT version FROM students WHERE id = $1 FOR UPDATE",
    // Also those that were dropped: their keys are known.
    "SELECT id, section, key, since, dropped_at IS NULL, drop_key FROM enrolments WHERE student = $1 ORDER BY id",
    "SELECT capacity, taken, version, opens_at FROM sections WHERE id = $1",
    "SELECT capacity, taken, version, opens_at FROM sections WHERE id = $1 FOR UPDATE",
    // Both rows are locked.
    with_jobs!(
        "WITH seat AS (
            UPDATE sections SET taken = taken + 1, version = version + 1 WHERE id = $2 RETURNING version),
        new AS (
            INSERT INTO enrolments (student, section, key, since) 
            SELECT $1, $2, $3::text, $4::bigint FROM seat RETURNING id)"
    ),
    "SELECT version FROM students WHERE id = $1",
    // Nothing if either version has changed since it was read.
    with_jobs!(
        "WITH student AS (
            UPDATE students SET version = version + 1 WHERE id = $1 AND version = $5 RETURNING id),
        seat AS (
            UPDATE sections SET taken = taken + 1, version = sections.version + 1 FROM student
            WHERE sections.id = $2 AND sections.version = $6 RETURNING sections.version),
        new AS (
            INSERT INTO enrolments (student, section, key, since) 
            SELECT $1, $2, $3::text, $4::bigint FROM seat RETURNING id)"
    ),
    // From here on nobody with a lower number writes.
    "UPDATE students SET fence = $2 WHERE id = $1 AND fence < $2",
    "UPDATE sections SET fence = $2 WHERE id = $1 AND fence < $2 RETURNING capacity, taken, version, opens_at",
    // Nothing if somebody with a higher number has come since.
    with_jobs!(
        "WITH student AS (SELECT id FROM students WHERE id = $1 AND fence = $5 FOR UPDATE),
        seat AS (
            UPDATE sections SET taken = taken + 1, version = sections.version + 1 FROM student
            WHERE sections.id = $2 AND sections.fence = $6 RETURNING sections.version),
        new AS (
            INSERT INTO enrolments (student, section, key, since) 
            SELECT $1, $2, $3::text, $4::bigint FROM seat RETURNING id)"
    ),
    "SELECT count(*) FROM enrolments WHERE section = $1 AND dropped_at IS NULL",
    "INSERT INTO enrolments (student, section, key, since) VALUES ($1, $2, $3, $4) RETURNING id",
    "UPDATE sections SET taken = $2, version = version + 1 WHERE id = $1 RETURNING version",
    "INSERT INTO outbox (enrolment, student, section, system)
        SELECT $3::bigint, $1::text, $2::text, unnest(ARRAY['mail', 'record', 'fee'])",
    // A drop takes nothing from anybody, so one statement does it, whatever decides about seats. A key that has enrolled drops nothing.
    "WITH gone AS (
        UPDATE enrolments SET dropped_at = $4, drop_key = $3
        WHERE student = $1 AND section = $2 AND dropped_at IS NULL
        AND NOT EXISTS (SELECT FROM enrolments WHERE student = $1 AND key = $3) RETURNING id),
    seat AS (
        UPDATE sections SET taken = taken - (SELECT count(*)::int FROM gone), version = version + 1
        WHERE id = $2 AND EXISTS (SELECT FROM gone) RETURNING version),
    jobs AS (
        INSERT INTO outbox (enrolment, student, section, system, undo)
        SELECT max(gone.id), $1, $2, 'fee', true FROM gone HAVING count(*) > 0)
    SELECT gone.id, seat.version FROM gone, seat ORDER BY gone.id",
];

/// What connections for reading prepare.
pub(super) mod read {
    pub(in super::super) const SECTIONS: usize = 0;
    pub(in super::super) const OF_STUDENT: usize = 1;
    pub(in super::super) const ALL: usize = 2;
    pub(in super::super) const STEPS: usize = 3;
    pub(in super::super) const BACKLOG: usize = 4;
}

pub(super) const READS: &[&str] = &[
    "SELECT id, capacity, taken, version, opens_at FROM sections",
    "SELECT id, section, since, dropped_at FROM enrolments WHERE student = $1 ORDER BY id",
    "SELECT id, student, section, since FROM enrolments WHERE dropped_at IS NULL ORDER BY id",
    "SELECT outbox.id, outbox.section, system, undo, due_at, tries, coalesce(dropped_at, since)
        FROM outbox JOIN enrolments ON enrolments.id = enrolment WHERE outbox.student = $1 ORDER BY outbox.id",
    "SELECT system, count(*) FROM outbox GROUP BY system",
];

/// What the outbox's worker prepares.
pub(super) mod work {
    pub(in super::super) const CLAIM: usize = 0;
    pub(in super::super) const DONE: usize = 1;
    pub(in super::super) const DONE_UNDO: usize = 2;
    pub(in super::super) const AGAIN: usize = 3;
}

pub(super) const WORK: &[&str] = &[
    "UPDATE outbox SET due_at = $1::bigint + 30000, tries = tries + 1
    WHERE id IN (SELECT id FROM outbox WHERE due_at <= $1 ORDER BY id LIMIT $2::bigint FOR UPDATE SKIP LOCKED)
    RETURNING id, enrolment, student, section, system, undo, before, tries",
    "DELETE FROM outbox WHERE id = ANY($1)",
    // One step of a drop is done; the next one begins with it.
    "WITH done AS (DELETE FROM outbox WHERE id = $1 RETURNING enrolment, student, section, coalesce(before, id) AS before)
    INSERT INTO outbox (enrolment, student, section, system, undo, before)
    SELECT enrolment, student, section, $2::text, true, before FROM done",
    "UPDATE outbox SET due_at = $2 WHERE id = $1",
];

/// After a start: whatever a process before this one had claimed is nobody's.
pub(super) const UNCLAIM: &str = "UPDATE outbox SET due_at = 0";
