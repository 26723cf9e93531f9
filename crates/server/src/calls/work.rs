//! A worker's calls: leasing, settling, and both in one round trip. All of them are one command to the engine.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tidegate_api::convert::answer::{write_leased_job, write_settled_item};
use tidegate_api::convert::command::{self as convert, Body};
use tidegate_api::read::{Item, read, read_utf8};
use tidegate_api::refusal::Refused;
use tidegate_api::settle::{Complete, read_jobs};
use tidegate_api::work::WorkBody;
use tidegate_api::write;
use tidegate_core::{JobId, Time, outcome};
use tidegate_engine::{Answer, Envelope, Leased, Work, Worked};

use crate::calls::items::Bad;
use crate::door::{Asked, Refusing, now};
use crate::reply::{Reply, json_bytes, marked};

pub(crate) async fn lease(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let (worked, _, replayed) =
        ask(asked, |text| Ok(WorkBody { lease: Some(read(text)?), ..WorkBody::default() })).await?;
    let mut out = Vec::with_capacity(room_for(&worked.leased));
    write::object_of_list(&mut out, "jobs", &worked.leased, write_leased_job);
    Ok(marked(json_bytes(StatusCode::OK, out), replayed))
}

pub(crate) async fn complete(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let (worked, waiting, replayed) =
        ask(asked, |text| Ok(WorkBody { complete: Some(read_jobs(text)?), ..WorkBody::default() })).await?;
    Ok(marked(results(waiting.complete, worked.complete), replayed))
}

pub(crate) async fn fail(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let (worked, waiting, replayed) =
        ask(asked, |text| Ok(WorkBody { fail: Some(read_jobs(text)?), ..WorkBody::default() })).await?;
    Ok(marked(results(waiting.fail, worked.fail), replayed))
}

pub(crate) async fn extend(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let (worked, waiting, replayed) =
        ask(asked, |text| Ok(WorkBody { extend: Some(read_jobs(text)?), ..WorkBody::default() })).await?;
    Ok(marked(results(waiting.extend, worked.extend), replayed))
}

pub(crate) async fn release(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let (worked, waiting, replayed) =
        ask(asked, |text| Ok(WorkBody { release: Some(read_jobs(text)?), ..WorkBody::default() })).await?;
    Ok(marked(results(waiting.release, worked.release), replayed))
}

pub(crate) async fn work(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let (worked, waiting, replayed) = ask(asked, |text| WorkBody::read(text)).await?;
    let now = now();
    let mut out = Vec::with_capacity(room_for(&worked.leased) + worked.complete.len() * 48);
    out.push(b'{');
    let lists = [
        ("complete", waiting.complete, worked.complete),
        ("fail", waiting.fail, worked.fail),
        ("extend", waiting.extend, worked.extend),
        ("release", waiting.release, worked.release),
    ];
    for (name, waiting, items) in lists {
        if let Some(list) = waiting {
            write_name(&mut out, name);
            list.write(&mut out, items, now);
        }
    }
    if waiting.lease {
        write_name(&mut out, "jobs");
        write::list(&mut out, &worked.leased, write_leased_job);
    }
    out.push(b'}');
    Ok(marked(json_bytes(StatusCode::OK, out), replayed))
}

/// The parts of a request that wait for their answers.
#[derive(Debug, Default)]
struct Waiting {
    complete: Option<List>,
    fail: Option<List>,
    extend: Option<List>,
    release: Option<List>,
    lease: bool,
}

/// A list of a request: the ids of its good items, and its bad items.
#[derive(Debug, Default)]
struct List {
    ids: Vec<JobId>,
    bad: Bad,
}

impl List {
    fn write(self, out: &mut Vec<u8>, items: Vec<outcome::Item>, now: Time) {
        self.bad.write(out, self.ids.into_iter().zip(items), |out, (id, item)| {
            write_settled_item(out, id, item, now)
        });
    }
}

/// Reads a request with `read`, asks the engine, and brings its answer, what waits for it, and whether it is a repetition.
async fn ask(
    asked: Asked<'_>,
    read: impl FnOnce(&str) -> Result<WorkBody<'_>, Refused>,
) -> Result<(Worked, Waiting, bool), Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let (work, wait, waiting) = plan(read(read_utf8(&body.bytes)?)?, &body.bytes);
    // The wait may be long, and the body's room is wanted by others; results that are slices of it are the engine's.
    drop(body);
    let asks_nothing = work.command == tidegate_core::command::Work::default();
    let Answer { value, replayed } = match asks_nothing {
        true => Answer { value: Worked::default(), replayed: false },
        false => engine.work(work, wait, key).await?,
    };
    Ok((value, waiting, replayed))
}

/// Turns a request into one command, and what waits for its answer.
fn plan(request: WorkBody<'_>, body: &Bytes) -> (Work, Duration, Waiting) {
    let (mut work, mut waiting) = (Work::default(), Waiting::default());
    let command = &mut work.command;
    waiting.complete = request.complete.map(|items| {
        // Most workers have no results to keep: an empty list of them says so at once.
        let has_results = items.iter().any(|item| matches!(item, Ok(Complete { result: Some(_), .. })));
        list(items, |item| {
            let (complete, result): (_, Envelope) = convert::complete(item, Body::Shared(body));
            let id = complete.id;
            command.complete.push(complete);
            if has_results {
                work.results.push(result);
            }
            id
        })
    });
    waiting.fail = request.fail.map(|items| {
        list(items, |item| {
            let id = item.id.into();
            command.fail.push(convert::fail(item));
            id
        })
    });
    waiting.extend = request.extend.map(|items| {
        list(items, |item| {
            let id = item.id.into();
            command.extend.push(convert::extend(item));
            id
        })
    });
    waiting.release = request.release.map(|items| {
        list(items, |item| {
            let id = item.id.into();
            command.release.push(convert::release(item));
            id
        })
    });
    let mut wait = Duration::ZERO;
    if let Some(lease) = request.lease {
        waiting.lease = true;
        wait = Duration::from_millis(lease.wait_ms());
        command.lease = Some(convert::lease(lease));
    }
    (work, wait, waiting)
}

/// Sorts a list; `good` takes a good item and says its id.
fn list<T>(items: Vec<Item<T>>, mut good: impl FnMut(T) -> JobId) -> List {
    let mut ids = Vec::with_capacity(items.len());
    let bad = Bad::sort(items, |item| ids.push(good(item)));
    List { ids, bad }
}

/// The answer to a list by itself.
fn results(waiting: Option<List>, items: Vec<outcome::Item>) -> Reply {
    let mut out = Vec::with_capacity(16 + items.len() * 48);
    out.push(b'{');
    write_name(&mut out, "results");
    waiting.unwrap_or_default().write(&mut out, items, now());
    out.push(b'}');
    json_bytes(StatusCode::OK, out)
}

/// Writes the name of a member of an object that was opened just before, or of its next member.
fn write_name(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// About how many bytes leased jobs take in JSON; bytes in base64 take a third more than they are.
fn room_for(leased: &[Leased]) -> usize {
    16 + leased.iter().map(|leased| 320 + leased.payload.payload.len() * 4 / 3).sum::<usize>()
}
