//! How all sections stand, for everybody who looks: made once for all who ask at the same time.
//!
//! What a page shows is never older than [`FRESH`] at the moment it is asked for, has the version and the moment of what is
//! durable, and costs the seats nothing: a flood of refreshes reads one answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Quick, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{Mutex, broadcast};

use crate::catalogue::SectionId;
use crate::seats::{AnySeats, Free, Moment, Refused, Seats};

/// How old an answer may be.
const FRESH: Duration = Duration::from_millis(50);
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
        Self { sections, as_of, at, json: json.into(), tag }
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
}

impl Default for Board {
    fn default() -> Self {
        Self {
            latest: Mutex::new(Looked { at: None }),
            shown: Quick::default(),
            news: broadcast::channel(BEHIND_MAX).0,
        }
    }
}

impl Board {
    /// How sections stand now, or a moment ago. Whoever asks while somebody looks gets what that one sees.
    ///
    /// # Errors
    /// The seats cannot be reached, and what was seen before would be a lie.
    pub async fn look(&self, seats: &AnySeats) -> Result<Arc<Snapshot>, Refused> {
        let asked = Instant::now();
        let mut latest = self.latest.lock().await;
        if latest.at.is_none_or(|looked| looked + FRESH < asked) {
            let looking = Instant::now();
            let snapshot = Snapshot::new(seats.free(&[]).await?);
            latest.at = Some(looking);
            self.show(snapshot);
        }
        Ok(self.shown())
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
        loop {
            if let Ok(snapshot) = self.look(seats).await {
                let new = |section: &&Free| {
                    told.get(&section.section) != Some(&(section.version, section.door as usize))
                };
                let changed: Vec<&Free> = snapshot.sections.iter().filter(new).collect();
                if !changed.is_empty() {
                    number += 1;
                    let json = json!({ "as_of": snapshot.as_of, "sections": changed });
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
