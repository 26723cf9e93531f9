//! Watching pools.

use std::io::Read;

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tidegate_api::pool::watch::Seen;
use tidegate_server::Options;

use crate::support::{Connection, House, Said, until};

/// An event: its id, and what it says.
type Event = (Option<String>, Value);

/// Somebody who watches.
struct Watch {
    connection: Connection,
    text: String,
}

impl Watch {
    /// Begins to watch, and hears the head of the answer.
    fn open(house: &House, names: &str, last_id: Option<&str>) -> Self {
        let mut connection = house.connect();
        let headers: Vec<_> = last_id.into_iter().map(|id| ("last-event-id", id)).collect();
        connection.send("GET", &format!("/v1/pools/watch?names={names}"), &headers, b"");
        let end = loop {
            if let Some(end) = connection.heard.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(connection.hear_more(), "an answer begins");
        };
        let head: Vec<u8> = connection.heard.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        assert!(head.contains("cache-control: no-store\r\n"), "{head}");
        Self { connection, text: String::new() }
    }

    /// The next event; none at the end.
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    continue;
                }
                return Some(read(&event));
            }
            let chunk = self.connection.hear_chunk();
            if chunk.is_empty() {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Hears events until one of `name` is at `version`, and says how all versions of it rose and what was missed in all.
    fn until(&mut self, name: &str, version: u64, mut last: u64) -> u64 {
        let mut missed = 0;
        while last < version {
            let (_, news) = self.next().expect("there is more to come");
            if news["name"] != name {
                continue;
            }
            let now = news["pool"]["version"].as_u64().unwrap();
            let missed_now = news["missed"].as_u64().unwrap_or(0);
            assert_eq!(now, last + 1 + missed_now, "a version higher by what was missed: {news}");
            (last, missed) = (now, missed + missed_now);
        }
        missed
    }
}

fn read(event: &str) -> Event {
    let (mut id, mut data) = (None, None);
    for line in event.lines() {
        match line.split_once(": ").expect("a field") {
            ("id", value) => id = Some(value.to_owned()),
            ("event", value) => assert_eq!(value, "pool"),
            ("data", value) => data = Some(serde_json::from_str(value).unwrap()),
            other => panic!("a field that is none: {other:?}"),
        }
    }
    (id, data.expect("an event says something"))
}

/// The id that says which version of each pool was told.
fn id_of(told: &[(&str, Option<u64>)]) -> Option<String> {
    let names: Vec<String> = told.iter().map(|&(name, _)| name.into()).collect();
    let mut seen = Seen::nothing(&names);
    seen.tell(told.iter().map(|&(_, version)| version));
    let mut id = Vec::new();
    seen.write(&mut id);
    Some(String::from_utf8(id).unwrap())
}

/// Gives a pool a capacity, and says the version that it has then.
fn configure(house: &House, pool: &str, capacity: u64) -> u64 {
    let said = house.put(&format!("/v1/pools/{pool}"), format!(r#"{{"capacity":{capacity}}}"#));
    assert_eq!(said.status, 200, "{said:?}");
    said.json["version"].as_u64().unwrap()
}

#[test]
fn a_watcher_hears_what_is_and_what_changes() {
    let house = House::open();
    let a = configure(&house, "a@s", 1);
    let mut watch = Watch::open(&house, "a%40s,b", None);
    let (id, mut first) = watch.next().unwrap();
    let mut shown = house.get("/v1/pools/a@s").json;
    // Of which moment it is true, each has looked for itself.
    (first["pool"]["as_of"], shown["as_of"]) = (Value::Null, Value::Null);
    assert_eq!((id, &first["name"], &first["pool"]), (None, &json!("a@s"), &shown));
    let id = |a: u64, b: Option<u64>| id_of(&[("a@s", Some(a)), ("b", b)]);
    assert_eq!(watch.next(), Some((id(a, None), json!({ "name": "b" }))), "there is none yet");
    house.post("/v1/pools/a@s/take", r#"{"holder":"anna"}"#);
    let (last_id, taken) = watch.next().unwrap();
    let a = a + 1;
    assert_eq!((last_id, &taken["pool"]["taken"], taken.get("missed")), (id(a, None), &json!(1), None));
    let b = configure(&house, "b", 5);
    let (last_id, made) = watch.next().unwrap();
    assert_eq!((last_id, &made["pool"]["free"]), (id(a, Some(b)), &json!(5)));
    house.ask("DELETE", "/v1/pools/b", &[], "");
    let (last_id, gone) = watch.next().unwrap();
    assert_eq!((last_id, gone), (id(a, Some(b)), json!({ "name": "b" })));
}

#[test]
fn who_comes_back_hears_of_what_is_newer_and_how_much_was_missed() {
    let house = House::open();
    let (a, b) = (configure(&house, "a", 1), configure(&house, "b", 1));
    let mut watch = Watch::open(&house, "a,b", None);
    watch.next().unwrap();
    let (id, _) = watch.next().unwrap();
    assert_eq!(id, id_of(&[("a", Some(a)), ("b", Some(b))]));
    drop(watch);
    for capacity in 2..=5 {
        configure(&house, "b", capacity);
    }
    let mut watch = Watch::open(&house, "a,b", id.as_deref());
    let (id, news) = watch.next().unwrap();
    assert_eq!(id, id_of(&[("a", Some(a)), ("b", Some(b + 4))]));
    assert_eq!(
        (&news["name"], &news["missed"], &news["pool"]["config"]["capacity"]),
        (&json!("b"), &json!(3), &json!(5))
    );
    // Who claims to know more than there is hears of the next, and never of an older one.
    let mut ahead = Watch::open(&house, "b", Some(&format!("b={},a=9", b + 5)));
    configure(&house, "b", 6);
    configure(&house, "b", 7);
    assert_eq!(ahead.next().unwrap().1["pool"]["version"], b + 6);
}

/// An id names nothing that only one process, or one number of shards, knows.
#[test]
fn an_id_outlives_a_restart_and_holds_with_another_number_of_shards() {
    let house = House::open();
    let (a, b) = (configure(&house, "a", 1), configure(&house, "b", 1));
    let mut watch = Watch::open(&house, "a,b", None);
    watch.next().unwrap();
    let (id, _) = watch.next().unwrap();
    drop(watch);
    let house = house.restart();
    let mut watch = Watch::open(&house, "a,b", id.as_deref());
    configure(&house, "b", 2);
    let (_, news) = watch.next().unwrap();
    assert_eq!(
        (&news["name"], &news["pool"]["version"]),
        (&json!("b"), &json!(b + 1)),
        "nothing is told twice"
    );
    let shards = tidegate_engine::Options { shards: 5, ..Default::default() };
    let other = House::with(shards, Options::default());
    assert_eq!((configure(&other, "a", 1), configure(&other, "b", 1)), (a, b));
    let mut watch = Watch::open(&other, "a,b", id.as_deref());
    configure(&other, "a", 2);
    configure(&other, "a", 3);
    let (mut last, mut missed) = (a, 0);
    while last < a + 2 {
        let (_, news) = watch.next().unwrap();
        assert_eq!(news["name"], "a", "b has not changed");
        last = news["pool"]["version"].as_u64().unwrap();
        missed += 1 + news["missed"].as_u64().unwrap_or(0);
    }
    assert_eq!(missed, 2);
}

#[test]
fn who_comes_with_the_id_of_another_watch_hears_how_all_stands() {
    let house = House::open();
    let (a, b) = (configure(&house, "a", 1), configure(&house, "b", 1));
    let id = id_of(&[("a", Some(a)), ("b", Some(b))]);
    let mut watch = Watch::open(&house, "b,a", id.as_deref());
    for (name, version) in [("b", b), ("a", a)] {
        let (_, news) = watch.next().unwrap();
        assert_eq!((&news["name"], &news["pool"]["version"]), (&json!(name), &json!(version)));
    }
}

/// The head of who comes back is the longest there is: the names stand in it twice.
#[test]
fn the_largest_watcher_comes_back_over_http_1_and_http_2() {
    let house = House::open();
    let name = |n: usize| format!("pool-number-{n:04}@autumn");
    let names: Vec<String> = (0..1_000).map(name).collect();
    assert!(names.join(",").len() > 23_000, "nearly as many bytes as may be");
    configure(&house, &names[999], 1);
    let id = names.iter().map(|name| format!("{name}=9007199254740991")).collect::<Vec<_>>().join(",");
    let asked = names.join(",").replace('@', "%40");
    let mut watch =
        Watch::open(&house, &asked, Some(&id.replace("0999@autumn=9007199254740991", "0999@autumn=0")));
    let (short, last) = (0..1_000).map(|_| watch.next().unwrap()).last().unwrap();
    assert_eq!(last["pool"]["config"]["capacity"], 1, "{last}");
    assert!(short.unwrap().len() < 12_000, "versions so far apart take eight bytes each, and no names");
    let client: Client<_, Empty<bytes::Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
    let uri = format!("http://{}/v1/pools/watch?names={asked}", house.address);
    let request = http::Request::get(&uri).header("last-event-id", &id).body(Empty::new()).unwrap();
    let mut answer = house.wait_for(client.request(request)).unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    let begin = house.wait_for(answer.body_mut().frame()).unwrap().unwrap();
    assert_eq!(begin.into_data().unwrap(), ": watching\n\n");
}

#[test]
fn a_watcher_that_does_not_read_costs_little_and_hears_the_newest_when_it_does() {
    let house = House::open();
    let attributes: String = "x".repeat(1_000);
    let put = |capacity: u64| {
        let config = format!(r#"{{"capacity":{capacity},"attributes":{{"text":"{attributes}"}}}}"#);
        assert_eq!(house.put("/v1/pools/p", config).status, 200);
    };
    put(1);
    let mut slow = Watch::open(&house, "p", Some("p=1"));
    let mut fast = Watch::open(&house, "p", Some("p=1"));
    for version in 2..=300 {
        put(version);
    }
    // Ten versions in one turn, however slow the machine is.
    let takes: Vec<String> =
        (0..10).map(|n| format!(r#"{{"take":{{"pool":"p","holder":"h{n}"}}}}"#)).collect();
    assert_eq!(house.post("/v1/pools/requests", format!("[{}]", takes.join(","))).status, 200);
    let missed = fast.until("p", 310, 1);
    assert!(missed > 0, "a pool that changes faster than it is told of is told of as it is");
    slow.until("p", 310, 1);
    put(301);
    assert_eq!(slow.next().unwrap().1["pool"]["version"], 311);
}

#[test]
fn all_watchers_of_a_pool_hear_the_same() {
    let house = House::open();
    configure(&house, "p", 1);
    let mut watchers: Vec<_> = (0..50).map(|_| Watch::open(&house, "p", Some("p=1"))).collect();
    configure(&house, "p", 2);
    let mut news: Vec<_> = watchers.iter_mut().map(|watch| watch.next().unwrap()).collect();
    // Of which moment it is true, each has looked for itself.
    news.iter_mut().for_each(|(_, news)| news["pool"]["as_of"] = Value::Null);
    assert!(news.iter().all(|one| *one == news[0]), "{news:?}");
    let free = &news[0].1["pool"]["free"];
    assert_eq!((&news[0].0, free), (&id_of(&[("p", Some(2))]), &json!(2)));
}

#[test]
fn when_the_server_stops_watchers_are_let_go() {
    let mut house = House::with(Default::default(), Options::default());
    configure(&house, "p", 1);
    let mut watch = Watch::open(&house, "p", None);
    watch.next().unwrap();
    let mut idle = Watch::open(&house, "p", Some("p=1"));
    house.stop().unwrap();
    assert_eq!((watch.next(), idle.next()), (None, None));
}

/// Begins to watch; gives the connection, or the refusal.
fn watching(mut connection: Connection, path: &str) -> Result<Connection, Said> {
    connection.send("GET", path, &[], b"");
    while connection.heard.len() < 12 {
        assert!(connection.hear_more());
    }
    match connection.heard.starts_with(b"HTTP/1.1 200") {
        true => Ok(connection),
        false => Err(connection.hear("GET", path)),
    }
}

fn path_of(pools: usize) -> String {
    let names: Vec<String> = (0..pools).map(|n| format!("p{n}")).collect();
    format!("/v1/pools/watch?names={}", names.join(","))
}

/// A connection from another address of this machine.
fn connection_from(house: &House, address: &str) -> Connection {
    let from = format!("{address}:0").parse().unwrap();
    let stream = house.wait_for(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(from).unwrap();
        socket.connect(house.address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(100))).unwrap();
    Connection { stream, heard: Vec::new() }
}

/// Whoever came first with two hundred connections had all the room, and everybody else heard `waiters_full`.
#[test]
fn one_client_leaves_room_for_others_and_is_forgotten_when_it_goes() {
    let house = House::open();
    configure(&house, "p1", 1);
    let (largest, small) = (path_of(1_000), path_of(10));
    let mut watchers: Vec<Connection> = Vec::new();
    let refused = loop {
        match watching(house.connect(), &largest) {
            Ok(connection) => watchers.push(connection),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.status, refused.code(), watchers.len()), (429, "waiters_full", 90));
    assert_eq!((&refused.json["value"], &refused.json["retry_after_ms"]), (&json!(0), &json!(1_000)));
    let detail = refused.json["detail"].as_str().unwrap();
    for words in ["127.0.0.1 watches 90000", "of 200000 in all", "Watch fewer, or ask again"] {
        assert!(detail.contains(words), "{detail}");
    }
    // Who watches a few pools finds a place from the same address, and anybody from another one.
    let kept = watching(house.connect(), &small).expect("room is kept for small watchers");
    let other = watching(connection_from(&house, "127.0.0.2"), &largest).expect("another client finds room");
    for mut connection in watchers.drain(..) {
        connection.stream.shutdown(std::net::Shutdown::Both).unwrap();
        let _ = connection.stream.read(&mut [0; 1]);
    }
    until("there is room again", || watching(house.connect(), &largest).is_ok());
    drop((kept, other));
}

/// A proxy may put many callers on one connection of HTTP/2.
#[test]
fn one_connection_has_a_bound_of_its_own() {
    let house = House::open();
    let client: Client<_, Empty<bytes::Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
    let uri = format!("http://{}{}", house.address, path_of(1_000));
    let watch =
        || house.wait_for(client.request(http::Request::get(&uri).body(Empty::new()).unwrap())).unwrap();
    let watchers: Vec<_> = (0..20).map(|_| watch()).collect();
    assert!(watchers.iter().all(|answer| answer.status() == 200));
    let refused = watch();
    assert_eq!(refused.status(), 429);
    let body = house.wait_for(refused.into_body().collect()).unwrap().to_bytes();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["code"], &problem["value"]), (&json!("waiters_full"), &json!(0)));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("at most 20000 pools") && detail.contains("on another connection"), "{detail}");
    assert!(watching(house.connect(), &path_of(1_000)).is_ok(), "another connection is not full");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let house = House::open();
    let many = format!("names={}", (0..1_001).map(|n| format!("p{n}")).collect::<Vec<_>>().join(","));
    for (query, status, code, field) in [
        ("", 400, "missing_field", "names"),
        ("names=", 400, "invalid_value", "names"),
        ("names=a,a", 400, "invalid_value", "names"),
        ("names=a&since=1", 400, "unknown_field", "since"),
        (&*many, 413, "too_many_items", "names"),
    ] {
        let said = house.get(&format!("/v1/pools/watch?{query}"));
        assert_eq!((said.status, said.code(), &said.json["field"]), (status, code, &json!(field)), "{query}");
    }
    let said = house.ask("GET", "/v1/pools/watch?names=a", &[("last-event-id", "a")], "");
    assert_eq!((said.code(), &said.json["field"]), ("invalid_value", &json!("Last-Event-ID")));
    assert_eq!(house.ask("HEAD", "/v1/pools/watch?names=a", &[], "").status, 200);
}
