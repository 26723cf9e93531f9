//! `ingest`, `ingest-single`, `bare`: how fast jobs come in.

use std::{sync::Arc, time::Duration};

use crate::bench::{
    Bench,
    connection::Shape,
    flood::{Flooded, Until, Width, flood},
    progress::Progress,
    report::{Row, percent},
    request::{LIST_JOBS, Requests},
};

/// Enough lists under way that the log never waits for the network.
pub(super) const LISTS: Width = Width { connections: 16, depth: 2 };
/// Different lists, so that no two in a row are the same.
pub(super) const LISTS_DIFFERENT: usize = 4;
/// 1,024 single jobs under way.
const SINGLES: Width = Width { connections: 1_024, depth: 1 };
/// `ingest-single` and `bare` take turns so often, that a slow minute of the machine hits both alike.
const TURNS: u32 = 4;

pub(super) async fn lists(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let queue = bench.queue("ingest");
    let requests = Arc::new(Requests::lists(&queue, LISTS_DIFFERENT));
    let (progress, _line) = Progress::show("ingest: lists of 100");
    let until = Until::Elapsed(Duration::from_secs_f64(bench.scale.seconds));
    let flooded =
        flood(bench.server.address, &requests, Shape::Results(LIST_JOBS), LISTS, until, &progress).await?;
    bench.check_left(&queue, flooded.jobs).await?;
    Ok(vec![row(
        "ingest",
        format!("lists of {LIST_JOBS}, {} under way", LISTS.connections * LISTS.depth),
        &flooded,
    )])
}

pub(super) async fn singles_against_bare(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let queue = bench.queue("ingest-single");
    let single = Arc::new(Requests::singles(&queue, SINGLES.depth));
    let bare = Arc::new(Requests::bare(SINGLES.depth));
    let turn = Until::Elapsed(Duration::from_secs_f64(bench.scale.seconds / f64::from(TURNS)));
    let (mut singles, mut bares) = (Flooded::none(), Flooded::none());
    let (progress, _line) = Progress::show("ingest-single and bare in turns");
    for _ in 0..TURNS {
        bares.add(flood(bench.server.address, &bare, Shape::Any, SINGLES, turn, &progress).await?);
        singles.add(flood(bench.server.address, &single, Shape::Job, SINGLES, turn, &progress).await?);
    }
    bench.check_left(&queue, singles.jobs).await?;
    let ratio = percent(singles.jobs_per_s(), bares.jobs_per_s());
    // A plain request does not go through the library that `bare` goes through; yet it does more, so it should not win.
    let doubt = if ratio > 100.0 { ", which says that the machine was not quiet: measure again" } else { "" };
    let under_way = under_way(SINGLES);
    let row_of_singles = row("ingest-single", format!("one job a request, {under_way}"), &singles).fact(
        "of_bare_percent",
        ratio,
        format!("{ratio} % of bare{doubt}"),
    );
    Ok(vec![row("bare", format!("the same requests, nothing done, {under_way}"), &bares), row_of_singles])
}

pub(super) async fn bare(bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
    let requests = Arc::new(Requests::bare(SINGLES.depth));
    let (progress, _line) = Progress::show("bare");
    let until = Until::Elapsed(Duration::from_secs_f64(bench.scale.seconds));
    let flooded = flood(bench.server.address, &requests, Shape::Any, SINGLES, until, &progress).await?;
    Ok(vec![row("bare", format!("nothing done, {}", under_way(SINGLES)), &flooded)])
}

fn under_way(width: Width) -> String {
    format!("{} under way on {} connections", width.connections * width.depth, width.connections)
}

fn row(workload: &'static str, what: String, flooded: &Flooded) -> Row {
    Row::new(workload, what, flooded.jobs, flooded.elapsed.as_secs_f64()).times("answer", &flooded.answer_us)
}
