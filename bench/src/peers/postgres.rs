//! PostgreSQL with a table as the job libraries for it have it: rows, a partial index, `FOR UPDATE SKIP LOCKED`.
//!
//! A list is one `INSERT … SELECT unnest(…)`. A worker's round is one statement, and so one commit: it deletes what is
//! done, claims up to a hundred and gives them back. Statements are prepared and pipelined. A worker that finds nothing
//! asks again a millisecond later, which is better for its latency than any library's default.

use std::{
    ops::Range, os::unix::process::CommandExt, path::Path, process::Command, sync::Arc, time::Duration,
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use tokio_postgres::{Client, NoTls, Statement};

use super::{LOG, Lanes, Load, Peer, Producer, Setting, Worker, until_ready};
use crate::{
    calls::keep_under_way,
    floor::Floor,
    intake::Intake,
    jobs::Payload,
    process::{Process, free_port, program},
};

const TABLE: &str = "
    CREATE TABLE jobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        queue text NOT NULL,
        kind text NOT NULL DEFAULT 'bench',
        state text NOT NULL DEFAULT 'available',
        priority smallint NOT NULL DEFAULT 5,
        attempt smallint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        leased_until timestamptz,
        payload bytea NOT NULL
    );
    CREATE INDEX jobs_available ON jobs (queue, priority, id) WHERE state = 'available'";
const GIVE_ONE: &str = "INSERT INTO jobs (queue, priority, payload) VALUES ($1, $2, $3)";
const GIVE_LIST: &str = "INSERT INTO jobs (queue, priority, payload) SELECT $1, $2, unnest($3::bytea[])";
/// The claim asks for the deletion's end, so that it comes after it. A claim may keep locks on rows that it found to be
/// another worker's, and skips what is locked; a deletion waits. Deletions first, nobody waits who has such a lock.
const ROUND: &str = "
    WITH done AS (DELETE FROM jobs WHERE id = ANY($1) RETURNING id),
    next AS (
        SELECT id FROM jobs WHERE queue = $2 AND state = 'available' AND (SELECT count(*) FROM done) >= 0
        ORDER BY priority, id LIMIT $3 FOR UPDATE OF jobs SKIP LOCKED)
    UPDATE jobs SET state = 'running', attempt = attempt + 1, leased_until = now() + interval '1 minute'
    FROM next WHERE jobs.id = next.id RETURNING jobs.id, jobs.payload";
/// A young table has no statistics; without these the planner may sort the whole of it for each claim.
const BY_INDEX: &str = "
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET enable_sort = off";

pub(super) struct Postgres {
    process: Process,
    port: u16,
    client: Client,
}

pub(super) async fn start(data: &Path) -> anyhow::Result<Postgres> {
    let also: Vec<_> = (13..20).rev().map(|version| format!("/usr/lib/postgresql/{version}/bin")).collect();
    let also: Vec<&Path> = also.iter().map(Path::new).collect();
    let own = data.join("data");
    std::fs::create_dir_all(&own)?;
    let mut initdb = Command::new(program("initdb", &also)?);
    initdb.args(["--username", "bench", "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"]);
    initdb.arg("--pgdata").arg(&own);
    as_somebody(&mut initdb, &own)?;
    let output = initdb.output()?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let port = free_port()?.port();
    let mut command = Command::new(program("postgres", &also)?);
    command.arg("-D").arg(&own);
    for setting in [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=512MB",
        "max_wal_size=8GB",
        "checkpoint_timeout=30min",
        "autovacuum_naptime=5s",
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
    ] {
        command.args(["-c", setting]);
    }
    as_somebody(&mut command, &own)?;
    let mut process = Process::start(&mut command, &data.join(LOG))?;
    let client = until_ready(Duration::from_secs(30), || connect(port)).await?;
    process.check()?;
    client.batch_execute(TABLE).await?;
    Ok(Postgres { process, port, client })
}

/// PostgreSQL refuses to run as root; then it runs as the user of its package.
fn as_somebody(command: &mut Command, data: &Path) -> anyhow::Result<()> {
    command.current_dir("/");
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let mut fields =
        users.lines().find_map(|line| Some(line.strip_prefix("postgres:")?.split(':').skip(1))).context(
            "PostgreSQL does not run as root, and there is no user postgres; install it, or be somebody else",
        )?;
    let (user, group) = match (fields.next(), fields.next()) {
        (Some(user), Some(group)) => (user.parse()?, group.parse()?),
        _ => bail!("the user postgres has no ids"),
    };
    std::os::unix::fs::chown(data, Some(user), Some(group))?;
    command.uid(user).gid(group);
    Ok(())
}

async fn connect(port: u16) -> anyhow::Result<Client> {
    let address = format!("host=127.0.0.1 port={port} user=bench dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
    // It ends with the client, or every call of the client fails and says why.
    tokio::spawn(connection);
    Ok(client)
}

#[async_trait]
impl Peer for Postgres {
    async fn in_force(&self) -> anyhow::Result<Setting> {
        let mut read = Vec::new();
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value: String = self.client.query_one(&format!("SHOW {name}"), &[]).await?.get(0);
            if value != "on" {
                bail!("SHOW {name} says {value}");
            }
            read.push(format!("{name} on"));
        }
        let method: String = self.client.query_one("SHOW wal_sync_method", &[]).await?.get(0);
        let version: String = self.client.query_one("SHOW server_version", &[]).await?.get(0);
        Ok(Setting {
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            durability: format!("{}, wal_sync_method {method}", read.join(", ")),
            list: "one INSERT of 100 rows by unnest".into(),
            single: "INSERT of one row, committed by itself, prepared and pipelined on 32 connections".into(),
            working: "one statement: DELETE of what was done, claim of up to 100 by FOR UPDATE SKIP LOCKED"
                .into(),
            urgent: "a column, in the index".into(),
        })
    }

    async fn open(&self, _queue: &str) -> anyhow::Result<()> {
        Ok(())
    }

    async fn producer(&self, queue: &str, load: Load) -> anyhow::Result<Box<dyn Producer>> {
        let client = Arc::new(connect(self.port).await?);
        let (one, list) = (client.prepare(GIVE_ONE).await?, client.prepare(GIVE_LIST).await?);
        let priority = if load == Load::Urgent { 0i16 } else { 5 };
        Ok(Box::new(Inserts { client, one, list, queue: queue.into(), priority }))
    }

    async fn worker(&self, queue: &str, _urgent: bool) -> anyhow::Result<Box<dyn Worker>> {
        let client = connect(self.port).await?;
        client.batch_execute(BY_INDEX).await?;
        let round = client.prepare(ROUND).await?;
        Ok(Box::new(Claims { client, round, queue: queue.into() }))
    }

    async fn left(&self, queue: &str) -> anyhow::Result<u64> {
        let count: i64 =
            self.client.query_one("SELECT count(*) FROM jobs WHERE queue = $1", &[&queue]).await?.get(0);
        Ok(count as u64)
    }

    async fn remove(&self, _queue: &str) -> anyhow::Result<()> {
        Ok(self.client.batch_execute("TRUNCATE jobs").await?)
    }

    fn lanes(&self, load: Load) -> Lanes {
        match load {
            Load::Lists => Lanes { connections: 8, depth: 4 },
            Load::Singles | Load::Plain => Lanes { connections: 32, depth: 32 },
            Load::Clock | Load::Urgent => Lanes { connections: 8, depth: 4_096 },
        }
    }

    fn freeze(&self) {
        self.process.freeze();
    }

    fn thaw(&self) {
        self.process.thaw();
    }

    fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes()
    }
}

struct Inserts {
    client: Arc<Client>,
    one: Statement,
    list: Statement,
    queue: Arc<str>,
    priority: i16,
}

#[async_trait]
impl Producer for Inserts {
    async fn produce(
        self: Box<Self>,
        intake: Arc<Intake>,
        per_call: usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        let Inserts { client, one, list, queue, priority } = *self;
        let mut payload = Payload::new();
        keep_under_way(&intake, per_call, depth, |numbers: Range<u64>| {
            let payloads = payload.each(numbers);
            let (client, one, list) = (Arc::clone(&client), &one, &list);
            let queue = Arc::clone(&queue);
            async move {
                let queue = &*queue;
                Ok(match &payloads[..] {
                    [payload] => client.execute(one, &[&queue, &priority, payload]).await?,
                    _ => client.execute(list, &[&queue, &priority, &payloads]).await?,
                })
            }
        })
        .await
    }
}

struct Claims {
    client: Client,
    round: Statement,
    queue: Arc<str>,
}

#[async_trait]
impl Worker for Claims {
    async fn work(self: Box<Self>, floor: Arc<Floor>, max: usize) -> anyhow::Result<()> {
        let mut held: Vec<i64> = Vec::new();
        let queue = &*self.queue;
        loop {
            let stopping = floor.stopping();
            if stopping && held.is_empty() {
                return Ok(());
            }
            let max = if stopping { 0 } else { max as i64 };
            let rows = self.client.query(&self.round, &[&held, &queue, &max]).await?;
            if !held.is_empty() {
                floor.complete(held.len() as u64);
            }
            held.clear();
            for row in &rows {
                floor.deliver(row.get(1));
                held.push(row.get(0));
            }
            if held.is_empty() && !stopping {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
