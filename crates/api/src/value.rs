//! The pieces that requests are made of: text, JSON passed through, metadata.
//!
//! All of them borrow from the request's body where they can: text unless it contains an escape, JSON always.
//! A client that builds a request owns them (`'static`) instead.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// Text, borrowed from the body unless it contains an escape.
///
/// (An `Option<Cow<str>>` would do, if serde borrowed inside of options.)
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text, cut loose from the body it was read from.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }

    /// Whether the text still lies in the body it was read from.
    pub fn is_borrowed(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text))
    }
}

impl From<Text<'_>> for String {
    fn from(text: Text<'_>) -> Self {
        text.0.into_owned()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Any JSON, kept as the text it was sent as: what comes out is what went in, byte for byte.
#[derive(Clone)]
pub struct RawJson<'a>(Cow<'a, RawValue>);

impl RawJson<'static> {
    /// The JSON of `value`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self::from)
    }
}

impl<'a> RawJson<'a> {
    /// The JSON's text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Reads the JSON as a `T`.
    pub fn parse<'s, T: Deserialize<'s>>(&'s self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text())
    }

    /// The JSON, cut loose from the body it was read from.
    pub fn into_owned(self) -> RawJson<'static> {
        RawJson(Cow::Owned(self.0.into_owned()))
    }
}

impl<'a> From<&'a RawValue> for RawJson<'a> {
    fn from(raw: &'a RawValue) -> Self {
        RawJson(Cow::Borrowed(raw))
    }
}

impl From<Box<RawValue>> for RawJson<'_> {
    fn from(raw: Box<RawValue>) -> Self {
        RawJson(Cow::Owned(raw))
    }
}

/// Two are equal if their texts are: `1.0` is not `1`.
impl PartialEq for RawJson<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl fmt::Debug for RawJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for RawJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Borrows where the format can lend JSON text (`serde_json::from_str` and `from_slice`), and fails elsewhere.
impl<'de: 'a, 'a> Deserialize<'de> for RawJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(Self::from)
    }
}

/// Names and values that travel with a job and mean nothing to the engine; in the order they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'a> Metadata<'a> {
    /// The entries, in order.
    pub fn entries(&self) -> &[(Text<'a>, Text<'a>)] {
        &self.0
    }

    /// The value of the first entry named `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(candidate, _)| *candidate == *name).map(|(_, value)| &**value)
    }

    /// Bytes of all names and values together.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The entries, taken out.
    pub fn into_entries(self) -> Vec<(Text<'a>, Text<'a>)> {
        self.0
    }

    /// Whether a name occurs twice.
    pub fn has_duplicates(&self) -> bool {
        let names_before = |i: usize| self.0[..i].iter().map(|(name, _)| name);
        self.0.iter().enumerate().any(|(i, (name, _))| names_before(i).any(|before| before == name))
    }

    /// The metadata, cut loose from the body it was read from.
    pub fn into_owned(self) -> Metadata<'static> {
        self.0.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }
}

impl<'a, N: Into<Text<'a>>, V: Into<Text<'a>>> FromIterator<(N, V)> for Metadata<'a> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        Metadata(entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Metadata<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Metadata(entries))
            }
        }
        deserializer.deserialize_map(MetadataVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_unless_it_contains_an_escape() {
        let plain: Option<Text<'_>> = serde_json::from_str(r#""wildfire""#).unwrap();
        let escaped: Option<Text<'_>> = serde_json::from_str(r#""wild\u0066ire""#).unwrap();
        assert_eq!(plain, escaped);
        assert!(plain.unwrap().is_borrowed());
        assert!(!escaped.unwrap().is_borrowed());
    }

    #[test]
    fn json_comes_out_as_it_went_in() {
        let text = r#"{ "b": 1.0,  "a": [1e400, "\ud83c\udf0a"] }"#;
        let json: RawJson<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(json.clone().into_owned(), json);
    }

    #[test]
    fn metadata_keeps_its_order_and_knows_its_duplicates() {
        let text = r#"{"tenant":"t1","app":"enrol"}"#;
        let metadata: Metadata<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&metadata).unwrap(), text);
        assert_eq!((metadata.get("app"), metadata.get("none"), metadata.bytes()), (Some("enrol"), None, 16));
        assert!(!metadata.has_duplicates());
        assert!(serde_json::from_str::<Metadata<'_>>(r#"{"a":"1","a":"1"}"#).unwrap().has_duplicates());
    }
}
