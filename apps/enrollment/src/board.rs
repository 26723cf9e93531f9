//! How all sections stand, for everybody who looks: made once for all who ask at the same time.
//!
//! What a page shows is never older than a blink (50 ms) at the moment it is asked for, has the version and the moment of what is
//! durable, and costs the seats nothing: a flood of refreshes reads one answer. While the seats cannot be asked it is how they last
//! stood, with that moment, and says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Quick, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{Mutex, broadcast};

use crate::catalogue::SectionId;
use crate::last_seen::AWAY;
use crate::seats::{AnySeats, Free, Moment, Refused, Seats, Why};

/// How old an answer may be.
const FRESH: Duration = Duration::from_millis(50);
/// So long one look may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// So long after a look that failed nobody tries another.
const PAUSE: Duration = Duration::from_secs(1);
/// Changes that a page may be behind before it is told everything again.
const BEHIND_MAX: usize = 64;

/// How all sections stood at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The sections, in the order of the catalogue.
    pub sections: Vec<Free>,
    /// When all of this was so.
    pub as_of: Moment,
    at: HashMap<SectionId, usize>,
    /// The same as JSON.
    pub json: Bytes,
    /// What tells this one from others.
    pub tag: String,
    /// Whether the seats could not be asked since.
    pub away: bool,
}

impl Snapshot {
    /// The sections as they stand.
    ///
    /// # Panics
    /// Never: what is here can be written as JSON.
    #[must_use]
    pub fn new(sections: Vec<Free>) -> Self {
        let as_of = sections.iter().map(|section| section.as_of).max().unwrap_or(0);
        let at = sections.iter().enumerate().map(|(at, section)| (section.section.clone(), at)).collect();
        let json = serde_json::to_vec(&json!({ "as_of": as_of, "sections": sections })).expect("it is JSON");
        // Versions only rise, so their sum rises with any change.
        let versions: u64 = sections.iter().map(|section| section.version).sum();
        let doors: usize = sections.iter().map(|section| section.door as usize).sum();
        let tag = format!("\"{versions}-{doors}-{}\"", sections.len());
        Self { sections, as_of, at, json: json.into(), tag, away: false }
    }

    /// The same, of which nobody knows whether it is still so.
    fn while_away(&self) -> Self {
        let whole = json!({ "as_of": self.as_of, "away": AWAY, "sections": self.sections });
        let json = serde_json::to_vec(&whole).expect("it is JSON").into();
        let tag = format!("\"away-{}", self.tag.trim_start_matches('"'));
        Self {
            sections: self.sections.clone(),
            as_of: self.as_of,
            at: self.at.clone(),
            json,
            tag,
            away: true,
        }
    }

    /// One section.
    #[must_use]
    pub fn section(&self, id: &SectionId) -> Option<&Free> {
        self.at.get(id).map(|&at| &self.sections[at])
    }
}

/// What pages that look on are told.
#[derive(Clone, Debug)]
pub struct News {
    /// Rises with each.
    pub number: u64,
    /// The sections that changed, as JSON.
    pub json: Bytes,
}

/// The board.
#[derive(Debug)]
pub struct Board {
    latest: Mutex<Looked>,
    shown: Quick<Arc<Snapshot>>,
    news: broadcast::Sender<News>,
}

#[derive(Debug)]
struct Looked {
    at: Option<Instant>,
    failed: Option<Instant>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            latest: Mutex::new(Looked { at: None, failed: None }),
            shown: Quick::default(),
            news: broadcast::channel(BEHIND_MAX).0,
        }
    }
}

impl Board {
    /// How sections stand now, or a moment ago; if the seats cannot be asked, how they last stood. Whoever asks while somebody looks gets
    /// what that one sees.
    ///
    /// # Errors
    /// The seats cannot be reached, and were never seen.
    pub async fn look(&self, seats: &AnySeats) -> Result<Arc<Snapshot>, Refused> {
        let asked = Instant::now();
        let mut latest = self.latest.lock().await;
        if latest.at.is_some_and(|looked| looked + FRESH >= asked) {
            return Ok(self.shown());
        }
        let looking = Instant::now();
        let was_seen = latest.at.is_some();
        let away = |why| match was_seen {
            true => Ok(self.shown()),
            false => Err(Refused::of(Why::NotReached(why))),
        };
        if latest.failed.is_some_and(|failed| looking < failed + PAUSE) {
            return away("it did not answer a moment ago".to_owned());
        }
        let why = match tokio::time::timeout(PATIENCE, seats.free(&[])).await {
            Ok(Ok(sections)) => {
                *latest = Looked { at: Some(looking), failed: None };
                self.show(Snapshot::new(sections));
                return Ok(self.shown());
            }
            Ok(Err(Refused { why: Why::Away(why), .. })) => why,
            Ok(Err(refused)) => return Err(refused),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        let shown = self.shown();
        if was_seen && !shown.away {
            tracing::warn!(%why, "the seats cannot be looked at; what was last seen is shown");
            self.show(shown.while_away());
        }
        let answer = away(why);
        latest.failed = Some(Instant::now());
        answer
    }

    /// The latest that was seen, however old.
    #[must_use]
    pub fn shown(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hears what changes from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// How many hear it.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.news.receiver_count()
    }

    /// Tells those who listen what has changed, for as long as this runs.
    pub async fn tell(&self, seats: &AnySeats) {
        let mut told: HashMap<SectionId, (u64, usize)> = HashMap::new();
        let mut number = 0;
        let mut was_away = false;
        loop {
            if let Ok(snapshot) = self.look(seats).await {
                let new = |section: &&Free| {
                    told.get(&section.section) != Some(&(section.version, section.door as usize))
                };
                let changed: Vec<&Free> = snapshot.sections.iter().filter(new).collect();
                if !changed.is_empty() || snapshot.away != was_away {
                    number += 1;
                    was_away = snapshot.away;
                    let away = snapshot.away.then_some(AWAY);
                    let json = json!({ "as_of": snapshot.as_of, "away": away, "sections": changed });
                    let json = serde_json::to_vec(&json).expect("it is JSON").into();
                    for section in changed {
                        told.insert(section.section.clone(), (section.version, section.door as usize));
                    }
                    // Nobody may be listening.
                    let _ = self.news.send(News { number, json });
                }
            }
            seats.changed().await;
            // Changes come in crowds; a page wants one of them, and the latest.
            tokio::time::sleep(FRESH).await;
        }
    }

    fn show(&self, snapshot: Snapshot) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}
