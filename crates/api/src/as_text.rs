//! Ids and moments are text in JSON.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::id::{CauseId, GrantId, JobId};
use crate::time::Timestamp;

/// Reads and writes a type as its text, by its `FromStr` and `Display`, without a copy in between.
macro_rules! serde_as_text {
    ($($type:ty),*) => {
        $(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    struct TextVisitor;
                    impl Visitor<'_> for TextVisitor {
                        type Value = $type;

                        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                            f.write_str(<$type>::ALLOWED)
                        }

                        fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                            text.parse().map_err(E::custom)
                        }
                    }
                    deserializer.deserialize_str(TextVisitor)
                }
            }
        )*
    };
}

serde_as_text!(JobId, GrantId, CauseId, Timestamp);
