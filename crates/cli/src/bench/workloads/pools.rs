//! `pools`: one hot pool. Grants in lists and alone, readers beside them, watchers, and offers after releases.
//!
//! Every grant is to a holder of its own. At the end the pool must have exactly as many units taken as were acknowledged, and
//! every watcher must have heard of every change.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use memchr::memmem;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::bench::{
    Bench,
    connection::{Connection, Good, Shape},
    flood::{Width, histogram, record},
    progress::Progress,
    report::{Row, Times, percent},
    request::{LIST_JOBS, get, post, put},
};

/// Lists of grants under way.
const LISTS: Width = Width { connections: 16, depth: 2 };
/// Single grants under way.
const SINGLES: Width = Width { connections: 256, depth: 1 };
/// Grants a second where readers are, or are not, beside them.
const PACED_PER_S: f64 = 2_000.0;
/// Connections of those.
const PACED_CONNECTIONS: usize = 32;
/// Reads a second beside them.
const READS_PER_S: f64 = 30_000.0;
/// Connections of readers, and reads that each sends at once.
const READERS: usize = 32;
const READS_AT_ONCE: usize = 15;
/// With and without readers take turns so often, that a slow minute of the machine hits both alike.
const TURNS: u32 = 4;
/// Callers that watch.
const WATCHERS: usize = 1_000;
/// Between two changes of what they watch.
const CHANGE_EVERY: Duration = Duration::from_millis(250);
/// Releases a second of workload time, each followed by an offer.
const OFFERS_PER_S: f64 = 20.0;
/// How long whatever is to come may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Units of a pool that never runs out.
const MANY: u64 = 1_000_000_000;

pub(super) async fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let server = bench.server.address;
    let seconds = bench.scale.seconds;
    let name = |what: &str| format!("{}@bench", bench.queue(what));
    let (pool, watched, offered, offers) = (name("pool"), name("watched"), name("offered"), name("offers"));
    let holders = Arc::new(AtomicU64::new(0));
    let mut asks = Connection::open(server).await?;
    for hot in [&pool, &watched] {
        configure(&mut asks, hot, &format!(r#"{{"capacity":{MANY}}}"#)).await?;
    }
    let mut rows = Vec::new();
    let takes = Takes { server, pool: pool.clone(), holders: Arc::clone(&holders) };
    {
        let (progress, _line) = Progress::show("pools: grants in lists of 100");
        let granted = takes.flood(LIST_JOBS, LISTS, seconds, &progress).await?;
        let what = format!(
            "takes of one pool in lists of {LIST_JOBS}, {} under way",
            LISTS.connections * LISTS.depth
        );
        rows.push(granted.row("pools-lists", what));
    }
    {
        let (progress, _line) = Progress::show("pools: single grants");
        let granted = takes.flood(1, SINGLES, seconds, &progress).await?;
        rows.push(
            granted.row("pools-single", format!("one take a request, {} connections", SINGLES.connections)),
        );
    }
    {
        let (progress, _line) = Progress::show("pools: grants with 30,000 reads/s beside them, and without");
        rows.extend(beside_readers(&takes, seconds, &progress).await?);
    }
    let taken = shown(&mut asks, &pool).await?["taken"].as_u64();
    let acknowledged = holders.load(Relaxed);
    if taken != Some(acknowledged) {
        bench.failures.push(format!("{acknowledged} grants were acknowledged, and {taken:?} are there"));
    }
    {
        let (progress, _line) = Progress::show("pools: 1,000 watchers");
        rows.push(watchers(server, &watched, seconds, &progress).await?);
    }
    {
        let (progress, _line) = Progress::show("pools: offers after releases");
        let config = format!(r#"{{"capacity":1,"waitlist_max":100000,"offer_queue":"{offers}"}}"#);
        configure(&mut asks, &offered, &config).await?;
        let count = (seconds * OFFERS_PER_S).max(20.0) as usize;
        rows.push(offers_after_releases(server, &offered, &offers, count, &progress).await?);
    }
    Ok(rows)
}

const CREATED: Good = Good { status: 201, shape: Shape::Job };
const OK: Good = Good { status: 200, shape: Shape::Any };

async fn configure(asks: &mut Connection, pool: &str, config: &str) -> anyhow::Result<()> {
    asks.exchange(&put(&format!("/v1/pools/{pool}"), config), OK).await.context("no pool")?;
    Ok(())
}

async fn shown(asks: &mut Connection, pool: &str) -> anyhow::Result<Value> {
    let body = asks.exchange(&get(&format!("/v1/pools/{pool}")), OK).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// What of grants came out.
struct Granted {
    count: u64,
    elapsed: Duration,
    answer_us: Histogram<u64>,
}

impl Granted {
    fn none() -> Granted {
        Granted { count: 0, elapsed: Duration::ZERO, answer_us: histogram() }
    }

    fn add(&mut self, other: &Granted) {
        self.count += other.count;
        self.elapsed += other.elapsed;
        self.answer_us.add(&other.answer_us).expect("histograms of one make fit together");
    }

    fn row(&self, workload: &'static str, what: String) -> Row {
        Row::new(workload, what, self.count, self.elapsed.as_secs_f64()).times("answer", &self.answer_us)
    }
}

/// Takes of one pool, each for a holder that has nothing yet.
#[derive(Clone)]
struct Takes {
    server: SocketAddr,
    pool: String,
    holders: Arc<AtomicU64>,
}

/// A request whose holders are set each time it is sent.
struct Request {
    bytes: Vec<u8>,
    marks: Vec<usize>,
}

/// Digits of a holder's number.
const DIGITS: usize = 10;

impl Request {
    /// A take of so many units, in a list if there are several.
    fn new(pool: &str, count: usize) -> Request {
        let wish = r#"{"holder":"h0000000000"}"#;
        let body = if count == 1 { wish.to_owned() } else { format!("[{}]", vec![wish; count].join(",")) };
        let bytes = post(&format!("/v1/pools/{pool}/take"), &body);
        let marks = memmem::find_iter(&bytes, b"\"h0000000000\"").map(|at| at + 2).collect();
        Request { bytes, marks }
    }

    /// The request for holders that come next.
    fn next(&mut self, holders: &AtomicU64) -> &[u8] {
        let first = holders.fetch_add(self.marks.len() as u64, Relaxed);
        for (number, at) in (first..).zip(&self.marks) {
            let mut rest = number;
            for digit in self.bytes[*at..at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        &self.bytes
    }
}

impl Takes {
    /// As fast as answers come.
    async fn flood(
        &self,
        list: usize,
        width: Width,
        seconds: f64,
        progress: &Progress,
    ) -> anyhow::Result<Granted> {
        let mut connections = Vec::new();
        for _ in 0..width.connections {
            connections.push(Connection::open(self.server).await?);
        }
        let start = Instant::now();
        let deadline = start + Duration::from_secs_f64(seconds);
        let mut tasks = JoinSet::new();
        for connection in connections {
            tasks.spawn(self.clone().lane(connection, list, width.depth, deadline, progress.clone()));
        }
        let mut total = Granted::none();
        while let Some(lane) = tasks.join_next().await {
            total.add(&lane.context("a connection's task ended badly")??);
        }
        total.elapsed = start.elapsed();
        Ok(total)
    }

    async fn lane(
        self,
        mut connection: Connection,
        list: usize,
        depth: usize,
        deadline: Instant,
        progress: Progress,
    ) -> anyhow::Result<Granted> {
        let mut request = Request::new(&self.pool, list);
        let good = if list == 1 { CREATED } else { Good { status: 200, shape: Shape::Results(list) } };
        let mut under_way = std::collections::VecDeque::with_capacity(depth);
        let mut granted = Granted::none();
        loop {
            while under_way.len() < depth && Instant::now() < deadline {
                under_way.push_back(Instant::now());
                connection.send(request.next(&self.holders)).await?;
            }
            if under_way.is_empty() {
                return Ok(granted);
            }
            connection.receive().await?;
            let now = Instant::now();
            while connection.next(good)?.is_some() {
                let sent = under_way.pop_front().context("the server answered more than it was asked")?;
                record(&mut granted.answer_us, now - sent);
                granted.count += list as u64;
                progress.add(list as u64);
            }
        }
    }

    /// Single takes at a steady pace.
    async fn paced(&self, seconds: f64, progress: &Progress) -> anyhow::Result<Granted> {
        let every = Duration::from_secs_f64(PACED_CONNECTIONS as f64 / PACED_PER_S);
        let start = Instant::now();
        let deadline = start + Duration::from_secs_f64(seconds);
        let mut tasks = JoinSet::new();
        for at in 0..PACED_CONNECTIONS {
            let (takes, progress) = (self.clone(), progress.clone());
            let mut due =
                tokio::time::Instant::from_std(start) + every.mul_f64(at as f64 / PACED_CONNECTIONS as f64);
            tasks.spawn(async move {
                let mut connection = Connection::open(takes.server).await?;
                let mut request = Request::new(&takes.pool, 1);
                let mut granted = Granted::none();
                while due.into_std() < deadline {
                    tokio::time::sleep_until(due).await;
                    due += every;
                    let sent = Instant::now();
                    connection.exchange(request.next(&takes.holders), CREATED).await?;
                    record(&mut granted.answer_us, sent.elapsed());
                    granted.count += 1;
                    progress.add(1);
                }
                anyhow::Ok(granted)
            });
        }
        let mut total = Granted::none();
        while let Some(lane) = tasks.join_next().await {
            total.add(&lane.context("a connection's task ended badly")??);
        }
        total.elapsed = start.elapsed();
        Ok(total)
    }
}

/// Grants at a steady pace, with readers beside them and without, in turns.
async fn beside_readers(takes: &Takes, seconds: f64, progress: &Progress) -> anyhow::Result<Vec<Row>> {
    let turn = seconds / f64::from(TURNS);
    let (mut alone, mut beside, mut reads) = (Granted::none(), Granted::none(), Granted::none());
    for _ in 0..TURNS {
        alone.add(&takes.paced(turn, progress).await?);
        let stop = Arc::new(AtomicBool::new(false));
        let readers = tokio::spawn(read(takes.server, takes.pool.clone(), Arc::clone(&stop)));
        beside.add(&takes.paced(turn, progress).await?);
        stop.store(true, Relaxed);
        reads.add(&readers.await.context("the readers ended badly")??);
    }
    let p99 = |granted: &Granted| Times::of(&granted.answer_us).map_or(0, |times| times.p99);
    let ratio = percent(p99(&beside) as f64, p99(&alone) as f64);
    let paced = format!("{PACED_PER_S} single takes/s");
    Ok(vec![
        alone.row("pools-alone", paced.clone()),
        beside.row("pools-beside", format!("{paced}, reads beside them")).fact(
            "p99_of_alone_percent",
            ratio,
            format!("p99 is {ratio} % of that without reads"),
        ),
        reads.row(
            "pools-reads",
            format!("{READS_PER_S} reads/s of the pool meanwhile, {READS_AT_ONCE} at once"),
        ),
    ])
}

/// Reads at a steady pace until it is enough.
async fn read(server: SocketAddr, pool: String, stop: Arc<AtomicBool>) -> anyhow::Result<Granted> {
    let requests = get(&format!("/v1/pools/{pool}")).repeat(READS_AT_ONCE);
    let every = Duration::from_secs_f64((READERS * READS_AT_ONCE) as f64 / READS_PER_S);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for at in 0..READERS {
        let (requests, stop) = (requests.clone(), Arc::clone(&stop));
        let mut due = tokio::time::Instant::from_std(start) + every.mul_f64(at as f64 / READERS as f64);
        tasks.spawn(async move {
            let mut connection = Connection::open(server).await?;
            let mut reads = Granted::none();
            while !stop.load(Relaxed) {
                tokio::time::sleep_until(due).await;
                due += every;
                let sent = Instant::now();
                connection.send(&requests).await?;
                let mut left = READS_AT_ONCE;
                while left > 0 {
                    connection.receive().await?;
                    while connection.next(OK)?.is_some() {
                        left -= 1;
                        record(&mut reads.answer_us, sent.elapsed());
                        reads.count += 1;
                    }
                }
            }
            anyhow::Ok(reads)
        });
    }
    let mut total = Granted::none();
    while let Some(reader) = tasks.join_next().await {
        total.add(&reader.context("a reader's task ended badly")??);
    }
    total.elapsed = start.elapsed();
    Ok(total)
}

/// What all watchers know together.
struct Changes {
    start: Instant,
    /// The version of the pool before the first change.
    version: u64,
    /// When each change was asked for, in nanoseconds after `start`; 0 until then.
    asked_ns: Vec<AtomicU64>,
}

/// Changes of a pool that a thousand callers watch: from before a change is asked for until each has heard of it.
async fn watchers(server: SocketAddr, pool: &str, seconds: f64, progress: &Progress) -> anyhow::Result<Row> {
    let mut asks = Connection::open(server).await?;
    let version = shown(&mut asks, pool).await?["version"].as_u64().context("a pool has a version")?;
    let count = (seconds / CHANGE_EVERY.as_secs_f64()).ceil() as usize;
    let asked_ns = (0..count).map(|_| AtomicU64::new(0)).collect();
    let changes = Arc::new(Changes { start: Instant::now(), version, asked_ns });
    let mut tasks = JoinSet::new();
    for _ in 0..WATCHERS {
        let mut stream = TcpStream::connect(server).await.context("cannot connect")?;
        let request = format!(
            "GET /v1/pools/watch?names={} HTTP/1.1\r\nhost: tidegate\r\nlast-event-id: {pool}={version}\r\n\r\n",
            pool.replace('@', "%40")
        );
        stream.write_all(request.as_bytes()).await?;
        let mut heard = Vec::with_capacity(1_024);
        // The comment that opens the stream says that the watcher is there.
        while memmem::find(&heard, b": watching").is_none() {
            ensure!(stream.read_buf(&mut heard).await? > 0, "a watcher is not answered");
        }
        tasks.spawn(listen(stream, Arc::clone(&changes), progress.clone()));
    }
    let mut request = Request::new(pool, 1);
    let holders = AtomicU64::new(0);
    let start = Instant::now();
    let mut ticks = tokio::time::interval(CHANGE_EVERY);
    for asked in &changes.asked_ns {
        ticks.tick().await;
        asked.store(changes.start.elapsed().as_nanos() as u64, Relaxed);
        asks.exchange(request.next(&holders), CREATED).await?;
    }
    let elapsed = start.elapsed();
    let mut heard_us = histogram();
    let all = async {
        while let Some(heard) = tasks.join_next().await {
            heard_us.add(heard.context("a watcher's task ended badly")??).expect("they fit together");
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, all).await.context("not every watcher heard of every change")??;
    let what = format!("{count} changes of a pool that {WATCHERS} watch; what is counted is what they heard");
    Ok(Row::new("pools-watch", what, heard_us.len(), elapsed.as_secs_f64())
        .times("change to watcher", &heard_us))
}

/// Hears of all changes; the time of each.
async fn listen(
    mut stream: TcpStream,
    changes: Arc<Changes>,
    progress: Progress,
) -> anyhow::Result<Histogram<u64>> {
    const VERSION: &[u8] = b"\"version\":";
    let mut heard_us = histogram();
    let mut heard: Vec<u8> = Vec::with_capacity(4_096);
    let mut last = changes.version;
    while last < changes.version + changes.asked_ns.len() as u64 {
        ensure!(stream.read_buf(&mut heard).await? > 0, "a watcher was let go");
        let now = changes.start.elapsed();
        let Some(end) = memmem::rfind(&heard, b"\n\n") else { continue };
        for at in memmem::find_iter(&heard[..end], VERSION) {
            let digits = heard[at + VERSION.len()..].iter().take_while(|digit| digit.is_ascii_digit());
            let version = digits.fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
            ensure!(version == last + 1, "version {version} was told after {last}");
            last = version;
            let index = (version - changes.version - 1) as usize;
            let asked = changes.asked_ns.get(index).context("a change that nobody asked for")?.load(Relaxed);
            record(&mut heard_us, now.saturating_sub(Duration::from_nanos(asked)));
            progress.add(1);
        }
        heard.drain(..end);
    }
    Ok(heard_us)
}

/// Releases, and the job that tells of the offer that follows each: from before the release is asked for until a waiting worker has
/// the job.
async fn offers_after_releases(
    server: SocketAddr,
    pool: &str,
    queue: &str,
    count: usize,
    progress: &Progress,
) -> anyhow::Result<Row> {
    let (mut asks, mut worker) = (Connection::open(server).await?, Connection::open(server).await?);
    let take = post(&format!("/v1/pools/{pool}/take"), r#"{"holder":"first"}"#);
    let taken: Value = serde_json::from_slice(&asks.exchange(&take, CREATED).await?)?;
    let mut grant = taken["id"].as_str().context("a grant has an id")?.to_owned();
    for holders in (0..count).collect::<Vec<_>>().chunks(1_000) {
        let wishes: Vec<String> =
            holders.iter().map(|holder| format!(r#"{{"holder":"w{holder}"}}"#)).collect();
        let join = post(&format!("/v1/pools/{pool}/join"), &format!("[{}]", wishes.join(",")));
        asks.exchange(&join, OK).await?;
    }
    let lease = post("/v1/leases", &format!(r#"{{"queues":["{queue}"],"wait_ms":10000,"worker":"bench"}}"#));
    let mut offer_us = histogram();
    let start = Instant::now();
    for _ in 0..count {
        worker.send(&lease).await?;
        // So that the worker waits already; how long it takes to get there is not measured.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let release = post(&format!("/v1/grants/{grant}/release"), "");
        let asked = Instant::now();
        let told = async {
            loop {
                worker.receive().await?;
                if let Some(response) = worker.next(OK)? {
                    record(&mut offer_us, asked.elapsed());
                    return anyhow::Ok(serde_json::from_slice::<Value>(response.body)?);
                }
            }
        };
        let (released, told) = tokio::join!(asks.exchange(&release, OK), told);
        released?;
        let payload = &told?["jobs"][0]["payload"];
        grant = payload["grant"].as_str().context("an offer names its grant")?.to_owned();
        progress.add(1);
    }
    let what = "one release after the other; each time the next in line is offered the unit";
    let elapsed = start.elapsed().as_secs_f64();
    Ok(Row::new("pools-offers", what, offer_us.len(), elapsed).times("release to offer", &offer_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_take_is_for_a_holder_of_its_own() {
        let holders = AtomicU64::new(98);
        let body = |bytes: &[u8]| -> Value {
            let at = memmem::find(bytes, b"\r\n\r\n").expect("a head") + 4;
            serde_json::from_slice(&bytes[at..]).expect("JSON")
        };
        let mut list = Request::new("p", 3);
        let wishes = body(list.next(&holders));
        let of = |index: usize| wishes[index]["holder"].as_str().expect("a holder").to_owned();
        assert_eq!([of(0), of(1), of(2)], ["h0000000098", "h0000000099", "h0000000100"]);
        let mut single = Request::new("p", 1);
        assert_eq!(body(single.next(&holders))["holder"], "h0000000101");
        assert_eq!(body(list.next(&holders))[2]["holder"], "h0000000104");
    }
}
