//! Small scripts: what is asked of a shard, line by line, and what it must answer.
//!
//! ```text
//! enqueue key=k | key=k        -> 1 ready, 2 ready
//! lease 5                      -> 1
//! complete 1                   -> 1 completed
//! show 2 state waiting_for     -> ready, worker
//! ```
//!
//! Jobs are named by their sequences, moments by their distance from the turn's time. The queue is `q` unless `queue=`
//! says otherwise; several jobs of one batch are separated by `|`. A lease's token is remembered: `complete 1` uses the
//! last one of job 1, `complete 1@2` that of its second lease, and `complete 1@0` one that never was. A line that
//! expects nothing must at least not be refused. `as KEY/FINGERPRINT` before a command gives it an idempotency key.
//! Lines about pools are read as `support/pools.rs` says; `all` takes several of them, separated by `;`, each for itself.
//! What follows a ` : ` is an error's message. `transact` takes one job or completion after another, separated by `;`.
//!
//! A transaction that is refused must leave no trace at all. After every line the log is replayed, from its first frame and again from a walk on, and must come to the same state:
//! so each script also holds the records, and what a walk restates, to what was decided.

use std::collections::{BTreeMap, HashMap};

use tidegate_core::command::{
    Command, Complete, DeadFilter, Edit, Enqueue, EnqueueOne, Extend, Fail, IdempotencyKey, Lease, NewJob,
    NewJobMore, Operation, Pause, Redrive, Release, Request, Transaction, Work,
};
use tidegate_core::id::{JobId, Time, Token, When};
use tidegate_core::outcome::Outcome;
use tidegate_core::policy::{OnConflict, OnFailure, QueueConfig, Retry, Unique, UniqueUntil};
use tidegate_core::record::EndReason;
use tidegate_core::state::State;

use super::{World, differences, pools, render, whole_text};

/// Runs a script in a new shard; see the module.
pub fn check(script: &str) {
    check_in(World::new(), script);
}

/// Runs a script in this shard, and gives it back when all was as expected.
pub fn check_in(world: World, script: &str) -> World {
    let mut running = Script { world, tokens: HashMap::new() };
    for (number, line) in script.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(line, _comment)| line).trim();
        if line.is_empty() {
            continue;
        }
        let (asked, expected) = match line.split_once("->") {
            Some((asked, expected)) => (asked.trim(), Some(expected.trim())),
            None => (line, None),
        };
        let answer = running.ask(asked);
        let right = expected.map_or(!answer.contains("refused"), |expected| answer == expected);
        let wanted = expected.unwrap_or("no refusal");
        assert!(right, "line {}: {asked}\n  expected: {wanted}\n  answered: {answer}\n{script}", number + 1);
        assert_replays(&running.world);
    }
    running.world
}

/// A restart here would find the same state, and so would one after a walk had made the log's head needless.
fn assert_replays(world: &World) {
    let mut restarted = world.restarted();
    assert_same(world, &restarted.state, "a replay of the whole log");
    assert_eq!(
        world.state.memory_bytes(),
        restarted.state.memory_bytes(),
        "so is the estimate of its memory"
    );
    // What is due already is due with or without a walk.
    restarted.after(0);
    let before = whole_text(&restarted.state);
    let target = restarted.next_frame();
    restarted.walk(target, |_| ());
    let after = whole_text(&restarted.state);
    assert!(before == after, "a walk changes nothing:\n{}", differences(&before, &after));
    let trimmed = restarted.replayed_from(target);
    assert_same(&restarted, &trimmed, "a replay from a walk on");
    // What a job once had beside, and has no longer, is not brought along.
    assert!(trimmed.memory_bytes() <= restarted.state.memory_bytes(), "the trimmed log takes more memory");
}

fn assert_same(world: &World, replayed: &State, what: &str) {
    let (live, replayed) = (whole_text(&world.state), whole_text(replayed));
    assert!(live == replayed, "{what} differs:\n{}", differences(&live, &replayed));
}

/// The world a script runs in, and the tokens its workers hold.
struct Script {
    world: World,
    tokens: HashMap<u64, Vec<Token>>,
}

impl Script {
    /// Does what one line asks for and returns the answer as text.
    fn ask(&mut self, line: &str) -> String {
        let (line, text) = line.split_once(" : ").map_or((line, None), |(line, text)| (line, Some(text)));
        let mut words = line.split_whitespace().peekable();
        let idempotency = (words.peek() == Some(&"as")).then(|| {
            let (key, fingerprint) =
                words.nth(1).and_then(|word| word.split_once('/')).expect("as KEY/FINGERPRINT");
            IdempotencyKey { key: key.into(), fingerprint: [number(fingerprint), 0] }
        });
        let verb = words.next().expect("a line has a verb");
        if verb == "transact" {
            let command = self.transaction(&words.collect::<Vec<_>>());
            return self.decide(idempotency, command);
        }
        if verb == "all" {
            let words: Vec<_> = words.collect();
            let operations = words.split(|word| *word == ";").map(pools::operation);
            return self.decide(idempotency, Command::Pools(operations.collect()));
        }
        let mut args = Args::parse(words, text);
        let answer = match verb {
            "after" => {
                self.world.after(number(&args.word()));
                String::new()
            }
            "clock_back" => {
                self.world.now = Time(self.world.now.0 - number(&args.word()));
                self.world.after(0);
                String::new()
            }
            "show" => self.show(&mut args),
            "queue" => self.show_queue(&mut args),
            "causes" => render::causes(&self.world.state.causes(&args.queue()).expect("there is the queue")),
            "readied" => self.world.readied.join(" "),
            "show_pool" => pools::show_pool(&self.world.state, &mut args),
            "show_grant" => pools::show_grant(&self.world.state, &mut args),
            "holder" => pools::show_holder(&self.world.state, &mut args),
            "entrants" => pools::show_entrants(&self.world.state, &mut args),
            "grants" => pools::list_grants(&self.world.state, &mut args),
            "line" => pools::list_line(&self.world.state, &mut args),
            "pool" | "resize" | "delete_pool" => {
                let command = pools::command(&self.world, verb, &mut args);
                self.decide(idempotency, command)
            }
            _ if pools::VERBS.contains(&verb) => {
                let operation = pools::operation_of(verb, &mut args);
                self.decide(idempotency, Command::Pools(vec![operation]))
            }
            _ => {
                let command = self.command(verb, &mut args);
                self.decide(idempotency, command)
            }
        };
        args.finish();
        answer
    }

    fn decide(&mut self, idempotency: Option<IdempotencyKey>, command: Command) -> String {
        let now = self.world.now;
        let keeps_answer = idempotency.is_some();
        let (before, frames) = (self.world.state.digest_text(), self.world.frames.len());
        let told = pools::is_told(&command);
        let decided = self.world.turn(|state, turn| state.decide(Request { idempotency, command }, turn));
        let refused =
            matches!(&decided.outcome, Outcome::TransactionRefused { .. } | Outcome::ConditionRefused { .. });
        if refused && !keeps_answer {
            let (before, after) =
                (pools::without_stories(&before), pools::without_stories(&self.world.state.digest_text()));
            assert!(before == after, "a refusal left a trace:\n{}", differences(&before, &after));
            assert!(told || self.world.frames.len() == frames, "a refusal is not written down");
        }
        if let Outcome::Worked(worked) = &decided.outcome {
            for job in &worked.leased {
                let tokens = self.tokens.entry(job.id.sequence()).or_default();
                if tokens.last() != Some(&job.token) {
                    tokens.push(job.token);
                }
            }
        }
        let now = now.max(self.world.state.now());
        let replayed = if decided.replayed { "again: " } else { "" };
        format!("{replayed}{}", render::outcome(&decided.outcome, now))
    }

    fn show(&self, args: &mut Args) -> String {
        let id = id(&args.word());
        let fields = std::mem::take(&mut args.words);
        match self.world.state.job(id) {
            Some(job) => render::job(&job, &fields, self.world.state.now()),
            None => "not kept".into(),
        }
    }

    fn show_queue(&self, args: &mut Args) -> String {
        let queue = args.queue();
        let fields = std::mem::take(&mut args.words);
        match self.world.state.queue(&queue) {
            Some(queue) => render::queue(&queue, &fields, self.world.state.now()),
            None => "no such queue".into(),
        }
    }

    /// The lease that `1`, `1@2` or `1@0` names.
    fn lease_named(&self, word: &str) -> (JobId, Token) {
        let (job, nth) = word.split_once('@').map_or((word, None), |(job, nth)| (job, Some(number(nth))));
        let tokens = self.tokens.get(&number(job)).map_or(&[][..], Vec::as_slice);
        let token = match nth {
            Some(nth) => (nth as usize).checked_sub(1).map(|index| tokens[index]),
            None => tokens.last().copied(),
        };
        (id(job), token.unwrap_or(Token(0)))
    }

    fn leases_named(&self, args: &mut Args) -> Vec<(JobId, Token)> {
        std::mem::take(&mut args.words).iter().map(|word| self.lease_named(word)).collect()
    }

    fn command(&self, verb: &str, args: &mut Args) -> Command {
        match verb {
            "enqueue" => enqueue(args),
            "cancel" => Command::Cancel(id(&args.word())),
            "edit" => Command::Edit(Edit {
                id: id(&args.word()),
                blob_len: args.number("len").unwrap_or(60) as u32,
            }),
            "configure" => Command::ConfigureQueue { queue: args.queue(), config: config(args) },
            "pause" | "resume" => Command::Pause(Pause {
                queue: args.queue(),
                ordering_key: args.take("key"),
                paused: verb == "pause",
            }),
            "redrive" => Command::Redrive(Redrive {
                filter: self.dead_filter(args),
                rate_per_s: args.number("rate").map(|rate| rate as u32),
                stop_after_dead: args.number("stop").unwrap_or(0) as u32,
            }),
            "delete_dead" => Command::DeleteDead(self.dead_filter(args)),
            _ => Command::Work(self.work(verb, args)),
        }
    }

    fn transaction(&self, words: &[&str]) -> Command {
        let is_condition = |words: &&[&str]| words.first() == Some(&"if");
        let parts = words.split(|word| *word == ";");
        let conditions = parts.clone().filter(is_condition).map(|words| pools::condition(&words[1..]));
        let operations = parts.filter(|words| !is_condition(words)).map(|words| {
            let (verb, words) = words.split_first().expect("an operation has a verb");
            let mut args = Args::parse(words.iter().copied(), None);
            let operation = match *verb {
                "enqueue" => Operation::Enqueue(enqueue_one(&mut args)),
                "complete" => {
                    let (id, token) = self.lease_named(&args.word());
                    let result_len = args.number("result").unwrap_or(0) as u32;
                    Operation::Complete(Complete { id, token, result_len })
                }
                verb if pools::VERBS.contains(&verb) => Operation::Pool(pools::operation_of(verb, &mut args)),
                _ => panic!("no transaction knows how to {verb}"),
            };
            args.finish();
            operation
        });
        Command::Transaction(Transaction {
            conditions: conditions.collect(),
            operations: operations.collect(),
        })
    }

    fn work(&self, verb: &str, args: &mut Args) -> Work {
        if verb == "lease" {
            let max = if args.words.is_empty() { 1 } else { number(&args.word()) as u32 };
            let list = |text: String| text.split(',').map(Into::into).collect::<Vec<String>>();
            let lease = Lease {
                queues: args.take("from").map_or_else(|| vec!["q".into()], list),
                max,
                lease_ms: args.number("for"),
                worker: args.take("worker").unwrap_or_else(|| "w".into()),
                kinds: args.take("kinds").map_or_else(Vec::new, list),
            };
            return Work { lease: Some(lease), ..Work::default() };
        }
        let lease_ms = args.number("for");
        let progress = args.take("progress").map(|text| text.into_bytes().into_boxed_slice());
        let result_len = args.number("result").unwrap_or(0) as u32;
        let failure = Failure::take(args);
        let leases = self.leases_named(args).into_iter();
        let mut work = Work::default();
        match verb {
            "complete" => {
                work.complete = leases.map(|(id, token)| Complete { id, token, result_len }).collect();
            }
            "fail" => work.fail = leases.map(|(id, token)| failure.of(id, token)).collect(),
            "extend" => {
                let progress = || progress.clone();
                work.extend =
                    leases.map(|(id, token)| Extend { id, token, lease_ms, progress: progress() }).collect();
            }
            "release" => work.release = leases.map(|(id, token)| Release { id, token }).collect(),
            _ => panic!("no script knows how to {verb}"),
        }
        work
    }

    fn dead_filter(&self, args: &mut Args) -> DeadFilter {
        let cause_of = args.take("cause_of");
        DeadFilter {
            queue: args.queue(),
            ids: args.take("ids").map_or_else(Vec::new, |ids| ids.split(',').map(id).collect()),
            kind: args.take("kind"),
            cause: cause_of.map(|job| self.world.job(id(&job)).cause.expect("a dead job has a cause")),
            reason: args.take("reason").map(|word| end_reason(&word)),
            before: args.number("before_ms_ago").map(|ms| Time(self.world.now.0 - ms)),
        }
    }
}

/// What a worker says about a failed attempt.
struct Failure {
    message: String,
    kind: Option<String>,
    dependency: Option<String>,
    retry_after_ms: Option<u64>,
    fatal: bool,
}

impl Failure {
    fn take(args: &mut Args) -> Self {
        Self {
            message: args.text.take().unwrap_or_else(|| "it broke".into()),
            kind: args.take("kind"),
            dependency: args.take("dependency"),
            retry_after_ms: args.number("retry_after"),
            fatal: args.flag("fatal"),
        }
    }

    fn of(&self, id: JobId, token: Token) -> Fail {
        Fail {
            id,
            token,
            message: self.message.clone(),
            kind: self.kind.clone(),
            dependency: self.dependency.clone(),
            retry_after_ms: self.retry_after_ms,
            fatal: self.fatal,
        }
    }
}

fn enqueue(args: &mut Args) -> Command {
    let mut enqueue = Enqueue::new(args.queue());
    let batch = std::mem::take(&mut args.words);
    for mut job in Args::split(batch, std::mem::take(&mut args.options)) {
        let times = job.number("times").unwrap_or(1);
        let new = new_job(&mut enqueue, &mut job);
        job.finish();
        (0..times).for_each(|_| enqueue.jobs.push(new.clone()));
    }
    Command::Enqueue(enqueue)
}

fn enqueue_one(args: &mut Args) -> EnqueueOne {
    let mut one = Enqueue::new(args.queue());
    let job = new_job(&mut one, args);
    EnqueueOne { queue: one.queue, kind: one.kinds.remove(0), job }
}

fn new_job(enqueue: &mut Enqueue, args: &mut Args) -> NewJob {
    let more = NewJobMore {
        expires_at: args.number("expires_in").map(When::In),
        ordering_key: args.take("key"),
        on_failure: args.take("on_failure").map(|word| on_failure(&word)),
        fairness_key: args.take("fairness_key"),
        unique: args.take("unique").map(|key| unique(key, args)),
        retry: args.has_retry().then(|| retry(args)),
        dependency: args.take("dependency"),
    };
    NewJob {
        kind: enqueue.kind(&args.take("kind").unwrap_or_else(|| "work".into())),
        priority: args.number("priority").map_or(NewJob::new(0).priority, |priority| priority as u8),
        blob_len: args.number("len").unwrap_or(100) as u32,
        run_at: args.number("run_in").map(When::In),
        more: (more != NewJobMore::default()).then(|| Box::new(more)),
    }
}

/// A policy without jitter unless it is asked for: scripts say exact moments.
fn retry(args: &mut Args) -> Retry {
    Retry {
        max_attempts: args.number("attempts").unwrap_or(5) as u32,
        delay_ms: args.number("delay").unwrap_or(1_000),
        factor_permille: args.number("factor").unwrap_or(2_000) as u32,
        delay_ms_max: args.number("cap").unwrap_or(3_600_000),
        jitter_percent: args.number("jitter").unwrap_or(0) as u32,
    }
}

fn unique(key: String, args: &mut Args) -> Unique {
    let until = args.take("until").unwrap_or_else(|| "completed".into());
    let (until, duration_ms) = match until.as_str() {
        "completed" => (UniqueUntil::Completed, 0),
        "started" => (UniqueUntil::Started, 0),
        ms => (UniqueUntil::Duration, number(ms)),
    };
    let on_conflict = match args.take("conflict").as_deref() {
        None | Some("reject") => OnConflict::Reject,
        Some("return") => OnConflict::Return,
        Some("replace") => OnConflict::Replace,
        Some(other) => panic!("{other} is no answer to a conflict"),
    };
    Unique { key, until, duration_ms, on_conflict }
}

fn config(args: &mut Args) -> QueueConfig {
    let default = QueueConfig::DEFAULT;
    QueueConfig {
        retry: if args.has_retry() { retry(args) } else { default.retry },
        lease_ms: args.number("lease_ms").unwrap_or(default.lease_ms),
        on_failure: args.take("on_failure").map_or(default.on_failure, |word| on_failure(&word) as i32),
        jobs_max: args.number("jobs_max").unwrap_or(default.jobs_max),
        retain_ms: args.number("retain_ms").unwrap_or(default.retain_ms),
        retain_max: args.number("retain_max").unwrap_or(default.retain_max),
    }
}

fn on_failure(word: &str) -> OnFailure {
    match word {
        "block" => OnFailure::Block,
        "skip" => OnFailure::Skip,
        "park" => OnFailure::Park,
        _ => panic!("an ordering key cannot {word}"),
    }
}

fn end_reason(word: &str) -> EndReason {
    let all = [EndReason::AttemptsExhausted, EndReason::Fatal, EndReason::Expired];
    all.into_iter().find(|reason| reason.as_str() == word).unwrap_or_else(|| panic!("nobody dies of {word}"))
}

pub fn id(sequence: &str) -> JobId {
    JobId::new(0, number(sequence))
}

pub fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}

/// The words of a line, `name=value` apart from the others. Every word must be asked for: a misspelt one fails the script.
pub struct Args {
    pub words: Vec<String>,
    options: BTreeMap<String, String>,
    text: Option<String>,
}

impl Args {
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>, text: Option<&str>) -> Self {
        let mut words: Vec<String> = words.map(Into::into).collect();
        let mut options = BTreeMap::new();
        // The jobs of a batch keep their words until they are split; the queue is the whole batch's.
        let batch = words.iter().any(|word| word == "|");
        words.retain(|word| match word.split_once('=') {
            Some((name, value)) if !batch || name == "queue" => {
                options.insert(name.into(), value.into()).is_some()
            }
            _ => true,
        });
        Self { words, options, text: text.map(|text| text.trim().into()) }
    }

    /// The jobs of a batch.
    fn split(words: Vec<String>, options: BTreeMap<String, String>) -> Vec<Self> {
        if words.is_empty() {
            return vec![Self { words, options, text: None }];
        }
        words.split(|word| word == "|").map(|job| Self::parse(job.iter().map(String::as_str), None)).collect()
    }

    pub fn word(&mut self) -> String {
        assert!(!self.words.is_empty(), "a word is missing");
        self.words.remove(0)
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.options.remove(name)
    }

    pub fn number(&mut self, name: &str) -> Option<u64> {
        self.take(name).map(|text| number(&text))
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    fn queue(&mut self) -> String {
        self.take("queue").unwrap_or_else(|| "q".into())
    }

    fn has_retry(&self) -> bool {
        ["attempts", "delay", "factor", "cap", "jitter"].iter().any(|name| self.options.contains_key(*name))
    }

    pub fn finish(self) {
        assert!(self.words.is_empty(), "nobody asked for {:?}", self.words);
        assert!(self.options.is_empty(), "nobody asked for {:?}", self.options);
        assert!(self.text.is_none(), "nobody asked for {:?}", self.text);
    }
}
