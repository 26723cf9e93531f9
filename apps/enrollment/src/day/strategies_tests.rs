//! Every strategy with a database, against real servers: who gets the last seats, the second press, and what is left in
//! the outbox.

use std::{
    collections::BTreeSet,
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use enrollment::{
    catalogue::{Catalogue, Section},
    downstream::{Downstream, System},
    eligibility::{Ineligible, judge_alone},
    seats::{Dropped, Enrolled, Refused, Seats, Strategy, Why, Wish, postgres::PostgresSeats},
};
use tokio::task::JoinSet;

use super::servers::{Postgres, Redis};

const SEATS: usize = 10;
const CROWD: usize = 60;
/// So often one presses again before it is no patience any more.
const PRESSES_MAX: usize = 10;
/// With a machine that has other things to do; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Servers, and a university in which a section has [`SEATS`] seats and a crowd that may have them.
struct Campus {
    postgres: Postgres,
    redis: Redis,
    catalogue: Arc<Catalogue>,
    section: Section,
    crowd: Vec<enrollment::catalogue::Student>,
    /// Removed last.
    data: tempfile::TempDir,
}

impl Campus {
    async fn open() -> Campus {
        // PostgreSQL may run as another user, who must be able to come here.
        let anybody = Permissions::from_mode(0o755);
        let data = tempfile::Builder::new().prefix("strategies-").permissions(anybody).tempdir();
        let data = data.expect("a directory");
        let made = Catalogue::generate(1, 12, 200);
        let mut sections = made.sections().to_vec();
        sections[0].capacity = SEATS as u32;
        let section = sections[0].clone();
        let may = |student: &&enrollment::catalogue::Student| judge_alone(&made, student, &section).is_ok();
        let crowd: Vec<_> = made.students().iter().filter(may).take(CROWD).cloned().collect();
        assert_eq!(crowd.len(), CROWD);
        let courses = made.courses().cloned().collect();
        let catalogue = Arc::new(Catalogue::new(courses, sections, made.students().to_vec()));
        let (postgres, redis) = tokio::join!(Postgres::start(data.path()), Redis::start(data.path()));
        let (postgres, redis) = (postgres.expect("PostgreSQL"), redis.expect("Redis"));
        Campus { postgres, redis, catalogue, section, crowd, data }
    }

    async fn seats(&self, strategy: Strategy) -> Arc<PostgresSeats> {
        let redis = self.redis.url();
        let catalogue = Arc::clone(&self.catalogue);
        let seats = PostgresSeats::open(strategy, self.postgres.url(), Some(&redis), catalogue).await;
        Arc::new(seats.expect("seats"))
    }

    /// A connection of one's own, and what carries it.
    async fn connect(&self) -> (tokio_postgres::Client, tokio::task::JoinHandle<()>) {
        let connected = tokio_postgres::connect(self.postgres.url(), tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("PostgreSQL answers");
        (client, tokio::spawn(async move { drop(connection.await) }))
    }

    fn wish(&self, student: usize, key: &str) -> Wish {
        Wish { student: self.crowd[student].id.clone(), section: self.section.id.clone(), key: key.into() }
    }

    /// The whole crowd presses at once, everybody twice with one key.
    async fn rush(&self, seats: &Arc<PostgresSeats>) -> Vec<(usize, Result<Enrolled, Refused>)> {
        let mut presses = JoinSet::new();
        for press in 0..CROWD * 2 {
            let (student, seats) = (press % CROWD, Arc::clone(seats));
            let wish = self.wish(student, &format!("key-{student}"));
            presses.spawn(async move { (student, enrol(&seats, &wish).await) });
        }
        presses.join_all().await
    }
}

/// Presses. Whoever waits for longer than a strategy lets them (where syncing is slow, or a lock is lost) presses again with that
/// key, as a page does.
async fn enrol(seats: &PostgresSeats, wish: &Wish) -> Result<Enrolled, Refused> {
    let mut answer = seats.enrol(wish).await;
    for _ in 0..PRESSES_MAX {
        let Err(Refused { why: Why::Away(_), .. }) = &answer else { break };
        answer = seats.enrol(wish).await;
    }
    answer
}

/// Drops, in the same way.
async fn drop_seat(seats: &PostgresSeats, wish: &Wish) -> Result<Dropped, Refused> {
    let mut answer = seats.drop_seat(wish).await;
    for _ in 0..PRESSES_MAX {
        let Err(Refused { why: Why::Away(_), .. }) = &answer else { break };
        answer = seats.drop_seat(wish).await;
    }
    answer
}

/// Honest strategies: as many seats as there are, each to one, and one answer for both presses.
async fn check_honest(strategy: Strategy) {
    let campus = Campus::open().await;
    let seats = campus.seats(strategy).await;
    let answers = campus.rush(&seats).await;
    let mut by_student: Vec<BTreeSet<String>> = vec![BTreeSet::new(); CROWD];
    for (student, answer) in &answers {
        match answer {
            Ok(enrolled) => drop(by_student[*student].insert(enrolled.enrolment.id.clone())),
            Err(Refused { why: Why::SoldOut, .. }) => {}
            Err(other) => panic!("{strategy:?}: {other:?}"),
        }
    }
    let has: BTreeSet<String> = by_student.iter().flatten().cloned().collect();
    assert_eq!(has.len(), SEATS, "{strategy:?}: every seat is given");
    assert!(by_student.iter().all(|ids| ids.len() <= 1), "{strategy:?}: {by_student:?}");
    let all = seats.all().await.expect("all");
    assert_eq!(all.iter().map(|one| one.id.clone()).collect::<BTreeSet<_>>(), has);
    let shown = seats.free(std::slice::from_ref(&campus.section.id)).await.expect("free");
    assert_eq!((shown[0].free, shown[0].taken), (0, SEATS as u32));

    // The same key again, after all: the same answer; with another section, a refusal.
    let winner = by_student.iter().position(|ids| !ids.is_empty()).expect("somebody");
    let again = enrol(&seats, &campus.wish(winner, &format!("key-{winner}"))).await.expect("the same");
    assert!(by_student[winner].contains(&again.enrolment.id));
    let other = campus.catalogue.sections()[3].id.clone();
    let reused = Wish { section: other, ..campus.wish(winner, &format!("key-{winner}")) };
    assert_eq!(enrol(&seats, &reused).await.expect_err("reused").why, Why::KeyReused);
    // Another key is another wish, and the student is in already.
    let twice = enrol(&seats, &campus.wish(winner, "another")).await.expect_err("twice");
    assert_eq!(twice.why, Why::Ineligible(Ineligible::HasSection));

    // Nor does the key of an enrolment drop anything.
    let reused = seats.drop_seat(&campus.wish(winner, &format!("key-{winner}"))).await.expect_err("reused");
    assert_eq!(reused.why, Why::KeyReused);

    // A seat that is given back is for the next, and the drop may be said twice.
    let drop_it = async |key: &str| drop_seat(&seats, &campus.wish(winner, key)).await;
    let dropped = drop_it("drop").await.expect("dropped");
    assert!(by_student[winner].contains(&dropped.enrolment));
    assert_eq!(drop_it("drop").await.expect("dropped before").enrolment, dropped.enrolment);
    let gone = drop_it("once more").await.expect_err("nothing to drop");
    assert_eq!(gone.why, Why::NotEnrolled);
    let reused = seats.enrol(&campus.wish(winner, "drop")).await.expect_err("a drop's key enrols nobody");
    assert_eq!(reused.why, Why::KeyReused);
    let loser = by_student.iter().position(BTreeSet::is_empty).expect("somebody else");
    enrol(&seats, &campus.wish(loser, "second chance")).await.expect("the seat that was given back");
    drained(&campus, &seats, SEATS).await;
}

/// Works the outbox off, and looks into the books.
async fn drained(campus: &Campus, seats: &PostgresSeats, expected: usize) {
    let downstream = Downstream::open("sqlite", campus.data.path()).await.expect("books");
    let empty = async {
        let left = async || {
            let backlog = seats.backlog().await.expect("backlog");
            backlog.iter().map(|(_, backlog)| backlog.open).sum::<u64>()
        };
        while left().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = seats.work_off(&downstream, Duration::from_millis(1)) => {}
        () = empty => {}
    }
    for system in System::ALL {
        assert_eq!(downstream.lines(system).await.expect("a book").len(), expected, "{system}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_locks_give_each_seat_once() {
    check_honest(Strategy::Pessimistic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_give_each_seat_once() {
    check_honest(Strategy::Optimistic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_in_redis_give_each_seat_once() {
    check_honest(Strategy::RedisLock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_naive_application_oversells_and_enrols_twice() {
    let campus = Campus::open().await;
    let seats = campus.seats(Strategy::Naive).await;
    // Nobody writes before more than there are seats have read that all are free; that they meet is no chance then.
    let ((holder, holding), (looker, looking)) = tokio::join!(campus.connect(), campus.connect());
    holder.batch_execute("BEGIN; LOCK TABLE enrolments IN SHARE MODE").await.expect("nobody writes");
    let meet = async {
        let since = Instant::now();
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'enrolments'::regclass";
        let waiting = async || looker.query_one(waiting, &[]).await.expect("a count").get::<_, i64>(0);
        while waiting().await <= SEATS as i64 {
            assert!(since.elapsed() < PATIENCE, "more than {SEATS} want to write");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        holder.batch_execute("COMMIT").await.expect("they write");
    };
    tokio::join!(campus.rush(&seats), meet);
    holding.abort();
    looking.abort();
    let all = seats.all().await.expect("all");
    assert!(all.len() > SEATS, "{} in {SEATS} seats", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_with_row_locks_never_loses_the_seat_one_has() {
    let campus = Campus::open().await;
    let seats = campus.seats(Strategy::Pessimistic).await;
    // The section's neighbour of the same course, and a student who is in the first.
    let sibling = campus.catalogue.siblings(&campus.section).next().expect("a sibling").id.clone();
    let first = seats.enrol(&campus.wish(0, "in")).await.expect("enrolled").enrolment;
    let swap = |key: &str| enrollment::seats::SwapWish {
        student: campus.crowd[0].id.clone(),
        give: campus.section.id.clone(),
        want: sibling.clone(),
        when_offered: false,
        key: key.into(),
    };
    seats.resize(&sibling, 0).await.expect("no seats");
    assert_eq!(seats.swap(&swap("full")).await.expect_err("full").why, Why::SoldOut);
    let all = seats.all().await.expect("all");
    assert_eq!(all.iter().map(|one| &one.id).collect::<Vec<_>>(), [&first.id], "it is kept");
    seats.resize(&sibling, 1).await.expect("a seat");
    let swapped = seats.swap(&swap("now")).await.expect("swapped");
    assert_eq!(seats.swap(&swap("now")).await.expect("the same"), {
        let enrollment::seats::Swapped::Now(Enrolled { enrolment, .. }) = swapped else { panic!("now") };
        enrollment::seats::Swapped::Now(Enrolled { enrolment, version: None })
    });
    // The key of an enrolment swaps nothing, that of a swap does nothing else.
    assert_eq!(seats.swap(&swap("in")).await.expect_err("an enrolment's").why, Why::KeyReused);
    for section in [&sibling, &campus.section.id] {
        let wish = Wish { section: section.clone(), ..campus.wish(0, "now") };
        assert_eq!(seats.enrol(&wish).await.expect_err("a swap's").why, Why::KeyReused);
        assert_eq!(seats.drop_seat(&wish).await.expect_err("a swap's").why, Why::KeyReused);
    }
    let all = seats.all().await.expect("all");
    assert_eq!(all.iter().map(|one| &one.section).collect::<Vec<_>>(), [&sibling]);
    drained(&campus, &seats, 1).await;
}
