//! A small enrolment day by the command line, against a real server: the last seat, the line, an opening that is drawn.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Patience with a machine that is busy with other tests; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

struct House {
    directory: tempfile::TempDir,
    url: String,
    server: Child,
}

impl House {
    fn open() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut server = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut said = BufReader::new(server.stderr.take().expect("an output")).lines();
        let listens = |line: String| line.split_once("listens on ").map(|(_, url)| url.to_owned());
        let url = said.by_ref().map_while(Result::ok).find_map(listens);
        let url = url.expect("the server says where it listens");
        // Read on to its end, so that the server never waits for a full pipe.
        std::thread::spawn(move || said.for_each(drop));
        House { directory, url, server }
    }

    fn output(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .env("TIDEGATE_SERVER", &self.url)
            .args(args)
            .output()
            .expect("the command runs")
    }

    /// What a command says with `--json`.
    fn said(&self, args: &[&str]) -> Value {
        let output = self.output(&[args, &["--json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {}\n{out}\n{err}", output.status);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// What a refused command says.
    fn refused(&self, args: &[&str], code: i32) -> String {
        let output = self.output(args);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
        err
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _gone = self.server.wait();
    }
}

#[test]
fn the_last_seat_has_one_holder_and_then_the_first_in_line() {
    let house = House::open();
    let missing = house.refused(&["pool", "configure", "cs101"], 2);
    assert!(missing.contains("--capacity"), "{missing}");
    house.said(&[
        "pool",
        "configure",
        "cs101",
        "--capacity",
        "1",
        "--waitlist-max",
        "5",
        "--attribute",
        "room=H1",
    ]);
    // What is not said stays.
    let pool = house.said(&["pool", "configure", "cs101", "--hold", "10m"]);
    assert_eq!(
        (&pool["config"]["hold_ms"], &pool["config"]["attributes"]["room"]),
        (&600_000.into(), &"H1".into())
    );

    let once = ["pool", "take", "cs101", "anna", "--idempotency-key", "anna-1"];
    let anna = house.said(&once);
    assert_eq!(house.said(&once), anna, "a double click is the same click");
    let refused = house.refused(&["pool", "take", "cs101", "bert"], 3);
    assert!(refused.contains("sold_out"), "{refused}");
    assert_eq!(house.said(&["pool", "join", "cs101", "bert"])["ahead"], 0);
    assert_eq!(house.said(&["pool", "join", "cs101", "carl"])["ahead"], 1);
    let line = house.said(&["pool", "line", "cs101"]);
    let in_line = |n: usize| (line[n]["holder"].as_str(), line[n]["ahead"].as_u64());
    assert_eq!((in_line(0), in_line(1)), ((Some("bert"), Some(0)), (Some("carl"), Some(1))));
    let table = String::from_utf8(house.output(&["pool", "line", "cs101"]).stdout).expect("text");
    assert!(table.starts_with("AHEAD") && table.contains("carl"), "{table}");
    assert_eq!(house.said(&["pool", "leave", "cs101", "carl"])["state"], "left");

    house.said(&["pool", "release", anna["id"].as_str().expect("an id")]);
    let bert = house.said(&["pool", "holder", "bert"]);
    let offer = &bert["grants"][0];
    assert_eq!((&offer["state"], &offer["offered"]), (&"held".into(), &true.into()));
    let id = offer["id"].as_str().expect("an id");
    assert!(offer["fence"].as_u64() > anna["fence"].as_u64());
    assert_eq!(house.said(&["pool", "grants", "cs101", "--held"])[0]["id"], offer["id"]);
    assert_eq!(house.said(&["pool", "grants", "cs101", "--taken"]), Value::Array(Vec::new()));
    let table = String::from_utf8(house.output(&["pool", "grants", "cs101"]).stdout).expect("text");
    assert!(table.starts_with("GRANT") && table.contains("bert") && table.contains("offered"), "{table}");
    let unknown = house.refused(&["pool", "grants", "none"], 3);
    assert!(unknown.contains("pool_not_found"), "{unknown}");
    house.said(&["pool", "extend", id, "--hold", "20m"]);
    assert_eq!(house.said(&["pool", "confirm", id])["state"], "taken");
    let told = String::from_utf8(house.output(&["pool", "holder", "bert"]).stdout).expect("text");
    assert!(told.contains("refused take cs101: No unit is free."), "{told}");

    house.said(&["pool", "configure", "cs102", "--capacity", "1"]);
    let seen = house.said(&["pool", "show", "cs102"])["version"].to_string();
    let over = house.refused(&["pool", "configure", "cs102", "--capacity", "2", "--if-version", "0"], 3);
    assert!(over.contains("version_changed") && over.contains(&seen), "{over}");
    house.said(&["pool", "configure", "cs102", "--hold", "10m", "--if-version", &seen]);
    house.refused(&["pool", "configure", "cs102", "--hold", "11m", "--if-version", &seen], 3);
    assert_eq!(house.said(&["pool", "swap", id, "cs102"])["pool"], "cs102");
    assert_eq!(house.said(&["pool", "resize", "cs101", "3"])["free"], 3);
    let below = house.refused(&["pool", "resize", "cs102", "0"], 3);
    assert!(below.contains("below_granted"), "{below}");
    let listed = house.said(&["pool", "list"]);
    let free = listed.as_array().expect("a list").iter().map(|pool| pool["free"].as_u64());
    assert_eq!(free.collect::<Vec<_>>(), [Some(3), Some(0)]);
    let watched = house.said(&["pool", "watch", "cs102", "--count", "1"]);
    assert_eq!(watched["pool"]["taken"], 1);
    assert_eq!(house.said(&["pool", "delete", "cs101"])["deleted"], "cs101");
}

#[test]
fn an_opening_is_drawn_and_anybody_can_draw_it_again() {
    let house = House::open();
    let opens = house.opening_in(Duration::from_secs(3_600));
    let pool = [
        "pool",
        "configure",
        "seminar",
        "--capacity",
        "2",
        "--waitlist-max",
        "50",
        "--shuffle",
        "--opens-at",
    ];
    let configured = house.said(&[&pool[..], &[&opens]].concat());
    let commitment = configured["commitment"].as_str().expect("it is committed to a seed").to_owned();
    for student in 0..20 {
        house.said(&["pool", "join", "seminar", &format!("student-{student}")]);
    }
    let early = house.refused(&["pool", "verify-opening", "seminar"], 2);
    assert!(early.contains("not opened"), "{early}");
    // All are there: the opening is brought forward, which changes nothing about who is drawn how.
    let moved =
        house.said(&["pool", "configure", "seminar", "--opens-at", &house.opening_in(Duration::ZERO)]);
    assert_eq!(moved["commitment"], commitment);
    let started = Instant::now();
    let opened = loop {
        let pool = house.said(&["pool", "show", "seminar"]);
        if pool["seed"].is_string() {
            break pool;
        }
        assert!(started.elapsed() < PATIENCE, "it does not open: {pool}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let verdict = house.said(&["pool", "verify-opening", "seminar", "--commitment", &commitment]);
    assert_eq!((&verdict["holds"], verdict["order"].as_array().map(Vec::len)), (&true.into(), Some(20)));
    assert_eq!(verdict["not_checked"].as_array().map(Vec::len), Some(1), "{verdict}");
    // What the server says of itself is no proof.
    let unproved = house.refused(&["pool", "verify-opening", "seminar"], 5);
    assert!(unproved.contains("--commitment"), "{unproved}");
    // The first two drawn have the two offers.
    for place in 0..2 {
        let holder = verdict["order"][place].as_str().expect("a holder");
        assert_eq!(house.said(&["pool", "holder", holder])["grants"][0]["offered"], true, "{holder}");
    }
    // The same from what was written down, without asking the server.
    let names: Vec<String> = (0..20).map(|student| format!("student-{student}\n")).collect();
    let file = house.directory.path().join("entrants");
    std::fs::write(&file, names.concat()).expect("written");
    let (file, seed) = (file.to_str().expect("text"), opened["seed"].as_str().expect("a seed"));
    let offline = ["pool", "verify-opening", "--commitment", &commitment, "--seed", seed, "--entrants", file];
    assert_eq!(house.said(&offline)["order"], verdict["order"]);
    let other = "0".repeat(64);
    let forged = house.refused(&["pool", "verify-opening", "seminar", "--commitment", &other], 1);
    assert!(forged.contains("not the one that was committed to"), "{forged}");
}

impl House {
    /// A time so far ahead, as the server's own clock has it.
    fn opening_in(&self, span: Duration) -> String {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970") + span;
        let output = Command::new("date")
            .args(["-u", "-d", &format!("@{}", now.as_secs()), "+%Y-%m-%dT%H:%M:%SZ"])
            .output()
            .expect("date runs");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

#[test]
fn a_configuration_is_changed_piece_by_piece_and_given_back_as_it_was_said() {
    let house = House::open();
    let said = |words: &str| {
        house.said(&["pool", "configure"].into_iter().chain(words.split(' ')).collect::<Vec<_>>())
    };
    let month = Duration::from_secs(30 * 86_400);
    let soon = (SystemTime::now() + month).duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
    let soon = tidegate::api::time::Timestamp::from_unix_ms(soon as u64);
    let made =
        said(&format!("drop --capacity 9 --opens-at {soon} --shuffle --waitlist-max 5 --offer-queue told"));
    assert_eq!(made["state"], "upcoming");
    said("drop --quota a=1 --quota b=2 --attribute room=H1 --attribute floor=3");
    let config = &said("drop --quota b=4 --no-quota a --attribute room=H2 --no-attribute floor")["config"];
    assert_eq!(config["quotas"], serde_json::json!([{ "group": "b", "units_max": 4 }]));
    assert_eq!(config["attributes"], serde_json::json!({ "room": "H2" }));
    assert_eq!((&config["opening"], &config["offer_queue"]), (&"shuffle".into(), &"told".into()));
    let pool = said("drop --opens-at none --first-come --no-offer-queue");
    assert_eq!(pool["state"], "open");
    for gone in ["opens_at", "offer_queue"] {
        assert_eq!(pool["config"].get(gone), None, "{gone}");
    }
    // What is shown can be pasted into a shell.
    house.said(&["pool", "configure", "drop", "--attribute", "title=Ann's drop; 'x'"]);
    let shown = String::from_utf8(house.output(&["pool", "show", "drop"]).stdout).expect("text");
    let line = shown.lines().find_map(|line| line.trim().strip_prefix("configured ")).expect("a line");
    let words = Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {line}")).output().expect("a shell");
    let words = String::from_utf8(words.stdout).expect("text");
    assert!(words.lines().any(|word| word == "title=Ann's drop; 'x'"), "{words}");
}

#[test]
fn a_transaction_is_all_or_nothing_and_its_refusal_says_where() {
    let house = House::open();
    house.said(&["pool", "configure", "a@x", "--capacity", "1"]);
    house.said(&["pool", "configure", "b@x", "--capacity", "0"]);
    let file = house.directory.path().join("both.json");
    let write = |pool: &str| {
        let take = |pool: &str| serde_json::json!({ "take": { "pool": pool, "holder": "anna" } });
        let mail = serde_json::json!({ "enqueue": { "queue": "mail@x", "payload": "anna" } });
        let body = serde_json::json!({ "do": [take("a@x"), take(pool), mail] });
        std::fs::write(&file, body.to_string()).expect("written");
    };
    let path = file.to_str().expect("a plain path");
    write("b@x");
    let refused = house.refused(&["transaction", path], 3);
    assert!(refused.contains("sold_out"), "{refused}");
    let refused = house.refused(&["transaction", path, "--json"], 3);
    let refused: Value = serde_json::from_str(&refused).expect("JSON, as it was asked for");
    assert_eq!((&refused["error"]["code"], &refused["error"]["operation"]), (&"sold_out".into(), &1.into()));
    assert_eq!(house.said(&["pool", "show", "a@x"])["free"], 1, "nothing happened");

    house.said(&["pool", "resize", "b@x", "1"]);
    let once = ["transaction", path, "--idempotency-key", "anna-1"];
    for _ in 0..2 {
        let output = String::from_utf8(house.output(&once).stdout).expect("text");
        assert_eq!(output.lines().count(), 3, "{output}");
        assert!(output.contains("taken: 1 of b@x for anna") && output.contains("in mail@x"), "{output}");
    }
    // Counts are of a moment ago.
    let started = Instant::now();
    while house.said(&["queue", "show", "mail@x"])["counts"]["ready"] != 1 {
        assert!(started.elapsed() < PATIENCE, "one job, not two or none");
    }
    std::fs::write(&file, r#"{"do":[{"take":{"pool":"a@x"}}]}"#).expect("written");
    assert!(house.refused(&["transaction", path], 2).contains("holder"));
    assert!(house.refused(&["transaction", "/nowhere/at-all.json"], 1).contains("cannot be read"));
}

#[test]
fn a_pool_that_is_not_there_is_named_and_the_others_are_shown() {
    let house = House::open();
    house.said(&["pool", "configure", "a", "--capacity", "1"]);
    let output = house.output(&["pool", "list", "a", "nope"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("open"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no pool nope"));
}
