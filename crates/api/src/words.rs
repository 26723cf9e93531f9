//! The few words that JSON, command line, console and metrics share: states, reasons, policies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares an enum whose values are words on the wire.
macro_rules! words {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $variant_doc:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Every value's word, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The value's word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        // By hand: utoipa's derive does not see a word that comes out of a macro, and would write the variant's name.
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let description = concat!($($doc, " ",)*).trim();
                let schema =
                    serde_json::json!({ "type": "string", "enum": Self::WORDS, "description": description });
                serde_json::from_value(schema).expect("a schema is written above")
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Where a job is in its life. Every job is in exactly one of these at any time.
    JobState {
        /// Waits for its time: `run_at`, or the delay before a retry.
        Scheduled = "scheduled",
        /// Can be leased as soon as a worker asks and policy lets it.
        Ready = "ready",
        /// A worker has it until the lease ends.
        Leased = "leased",
        /// Done.
        Completed = "completed",
        /// Given up: attempts exhausted, failed fatally, or expired.
        Dead = "dead",
        /// Taken back before it ended.
        Cancelled = "cancelled",
    }
}

words! {
    /// What becomes of an ordering key's later jobs while one of them fails.
    OnFailure {
        /// They wait for its retries.
        Block = "block",
        /// They go on; the failed job's retry runs when it can.
        Skip = "skip",
        /// They wait for its retries, and if it dies, until someone decides.
        Park = "park",
    }
}

words! {
    /// How long a unique key is held.
    UniqueUntil {
        /// Until the job's first attempt starts.
        Started = "started",
        /// Until the job ends.
        Completed = "completed",
        /// For `duration_ms` from its acceptance.
        Duration = "duration",
    }
}

words! {
    /// What happens to a new job whose unique key is held.
    OnConflict {
        /// The holder is answered in its place, with `duplicate`.
        Return = "return",
        /// It is refused as `unique_conflict`.
        Reject = "reject",
        /// It takes the holder's place if that has not started.
        Replace = "replace",
    }
}

words! {
    /// Why a job is dead or cancelled.
    EndReason {
        /// The last allowed attempt failed.
        AttemptsExhausted = "attempts_exhausted",
        /// An attempt failed and said that no other would help.
        Fatal = "fatal",
        /// It had not started by `expires_at`.
        Expired = "expired",
        /// Someone cancelled it.
        Cancelled = "cancelled",
        /// A newer job with the same unique key took its place.
        Replaced = "replaced",
    }
}

words! {
    /// Why a job is not running yet.
    WaitingFor {
        /// Its time has not come.
        RunAt = "run_at",
        /// The delay before its retry.
        Retry = "retry",
        /// A worker that asks for it.
        Worker = "worker",
        /// The queue is paused.
        QueuePaused = "queue_paused",
        /// An earlier job with the same ordering key.
        KeyBusy = "key_busy",
        /// The ordering key is paused.
        KeyPaused = "key_paused",
        /// The ordering key is parked behind a dead job.
        KeyParked = "key_parked",
    }
}

words! {
    /// How a redrive stands.
    RedriveState {
        /// It goes on.
        Running = "running",
        /// Everything that matched was moved.
        Finished = "finished",
        /// Too many of the moved jobs died again.
        Stopped = "stopped",
        /// Another redrive of the queue took over.
        Superseded = "superseded",
    }
}

words! {
    /// Whether a pool gives anything just now.
    PoolState {
        /// Its opening lies ahead.
        Upcoming = "upcoming",
        /// It gives.
        Open = "open",
        /// It gives nothing any more.
        Closed = "closed",
    }
}

words! {
    /// Who is served first among those who came before a pool's opening.
    Opening {
        /// Nobody may ask before; then first come, first served.
        Fifo = "fifo",
        /// Whoever joined before, in an order that is drawn.
        Shuffle = "shuffle",
    }
}

words! {
    /// What a grant is, or how it ended.
    GrantState {
        /// The holder's until its deadline.
        Held = "held",
        /// The holder's until it is released.
        Taken = "taken",
        /// Given back.
        Released = "released",
        /// It was an offer, and was given back.
        Declined = "declined",
        /// Its deadline came.
        Lapsed = "lapsed",
        /// It was an offer, and its deadline came.
        OfferLapsed = "offer_lapsed",
        /// Given for another one.
        Swapped = "swapped",
    }
}

words! {
    /// Whether a holder is in a line.
    WaitingState {
        /// It waits.
        Waiting = "waiting",
        /// It waits no more.
        Left = "left",
    }
}

words! {
    /// What happened to a holder.
    Happened {
        /// It was given units until a deadline.
        Held = "held",
        /// It was given units.
        Taken = "taken",
        /// It was offered units until a deadline, as the first in line who fits.
        Offered = "offered",
        /// It took what it held.
        Confirmed = "confirmed",
        /// It gave units back.
        Released = "released",
        /// It gave an offer back.
        Declined = "declined",
        /// The deadline of what it held came.
        Lapsed = "lapsed",
        /// The deadline of an offer came.
        OfferLapsed = "offer_lapsed",
        /// It gave a grant for another one.
        Swapped = "swapped",
        /// It waits in line.
        Joined = "joined",
        /// It left the line.
        Left = "left",
        /// It was taken out of the line: it had as many units as one may, or what it would have given up had ended.
        DroppedFromLine = "dropped_from_line",
        /// It waits no more: the pool has closed.
        LineClosed = "line_closed",
        /// It was refused; `asked` and `error` say what and why.
        Refused = "refused",
        /// Jobs were accepted with what it did.
        Enqueued = "enqueued",
        /// Jobs were completed with what it did.
        Completed = "completed",
    }
}

words! {
    /// What a request asked of a pool.
    Asked {
        /// To hold.
        Hold = "hold",
        /// To take.
        Take = "take",
        /// To confirm.
        Confirm = "confirm",
        /// To extend.
        Extend = "extend",
        /// To release.
        Release = "release",
        /// To swap.
        Swap = "swap",
        /// To join.
        Join = "join",
        /// To leave.
        Leave = "leave",
        /// That a transaction's condition holds.
        Condition = "condition",
        /// A transaction, of which a part that was not this holder's was refused.
        Transaction = "transaction",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_rust_and_in_json() {
        for (state, word) in JobState::ALL.iter().zip(JobState::WORDS) {
            assert_eq!(state.as_str(), *word);
            assert_eq!(JobState::from_word(word), Some(*state));
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<JobState>(&format!("\"{word}\"")).unwrap(), *state);
        }
        assert_eq!(JobState::from_word("Ready"), None);
    }
}
