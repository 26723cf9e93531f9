//! Reading requests: one object, a list, or an object of lists.
//!
//! In a list, one bad item is that item's refusal and the others go through; only a text that is not JSON,
//! an envelope that is wrong, or a list that is too long refuses the whole request.
//!
//! A list is read in one pass with no detour (`Brisk`). Only if serde stops somewhere is it read a second time,
//! item by item (`Patient`), so that what is wrong with one item is known by its place and the rest survives.
//! Good requests never pay for the second way.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits;
use crate::object::{self, Element};
use crate::refusal::{Refusal, Refused};
use crate::shape::{Object, Shape, explain, explain_shape, invalid_json, text_member};
use crate::syntax::Checked;

/// A request, or an item of a request's list, that can be read from JSON.
pub trait Wire<'de>: Deserialize<'de> {
    /// Its JSON, told as data.
    const OBJECT: &'static Object;

    /// Whether it has all the fields of [`OBJECT`](Self::OBJECT) that are required, or exactly one of them.
    const SHAPE: Shape = Shape::Object(Self::OBJECT);

    /// Checks what serde does not: names, ranges, sizes, and fields that need or exclude each other.
    fn check(&self) -> Checked;

    /// The job's id for the answer to an item of a list, where the item has one.
    fn id_text(&self) -> Option<String> {
        None
    }
}

/// An item of a list: what it says, or why it is refused.
pub type Item<T> = Result<T, Box<BadItem>>;

/// An item of a list that is refused by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct BadItem {
    /// The item's `id`, if it has a text there: repeated in the answer.
    pub id: Option<String>,
    /// What is wrong with the item.
    pub refusal: Refusal,
}

/// The text of a body, which must be UTF-8.
pub fn read_utf8(body: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(body).map_err(|error| {
        let detail = format!("The body is not UTF-8: byte {} does not belong there.", error.valid_up_to());
        Box::new(Refusal::new(crate::refusal::Code::InvalidJson, detail))
    })
}

/// Reads and checks one request.
pub fn read<'a, T: Wire<'a>>(text: &'a str) -> Result<T, Refused> {
    let request: T = object::from_str(text).map_err(|error| explain_shape(text, &T::SHAPE, &error))?;
    request.check()?;
    Ok(request)
}

/// Reads a list of at most [`limits::LIST_ITEMS_MAX`] items; each is checked.
pub fn read_list<'a, T: Wire<'a>>(text: &'a str) -> Result<Vec<Item<T>>, Refused> {
    let items: Items<T, Brisk> = match serde_json::from_str(text) {
        Ok(items) => items,
        // Whatever stopped serde: it calls a few values of the wrong type a wrong syntax.
        Err(_) => {
            let items: Items<T, Patient> =
                serde_json::from_str(text).map_err(|error| invalid_json(&error))?;
            return items.within_limit("");
        }
    };
    items.within_limit("")
}

/// A body that is one thing or a list of them.
#[derive(Debug)]
pub enum OneOrList<T> {
    /// One; a refusal of it is the whole answer.
    One(T),
    /// A list; each item has its own outcome.
    List(Vec<Item<T>>),
}

/// Reads a body, which is a list if its first character says so.
pub fn read_one_or_list<'a, T: Wire<'a>>(text: &'a str) -> Result<OneOrList<T>, Refused> {
    if is_list(text) { read_list(text).map(OneOrList::List) } else { read(text).map(OneOrList::One) }
}

/// Whether a body is a list (and not an object), judged by its first character.
pub fn is_list(text: &str) -> bool {
    text.trim_ascii_start().starts_with('[')
}

/// The items of a list as read from JSON, bounded in number whatever the text says.
///
/// Inside of an envelope the list is a field of this type; the envelope is read briskly first, and patiently if that
/// fails (see [`read_envelope`]).
pub(crate) struct Items<T, P> {
    items: Vec<Item<T>>,
    /// How many items there were; those over the limit were not kept.
    count: usize,
    pace: PhantomData<P>,
}

impl<T, P> Items<T, P> {
    /// The items, if they are not too many. `field` is the path of the list.
    pub(crate) fn within_limit(self, field: &str) -> Result<Vec<Item<T>>, Refused> {
        if self.count > limits::LIST_ITEMS_MAX {
            return Err(Box::new(Refusal::too_many_items(field, self.count, limits::LIST_ITEMS_MAX)));
        }
        Ok(self.items)
    }
}

/// How the next item of a list is read.
pub(crate) trait Pace {
    fn next<'de, T: Wire<'de>, A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Item<T>>, A::Error>;
}

/// Straight into its type. If serde stops, the whole list has failed.
pub(crate) struct Brisk;

impl Pace for Brisk {
    fn next<'de, T: Wire<'de>, A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Item<T>>, A::Error> {
        let Some(item) = list.next_element_seed(Element(PhantomData::<T>))? else { return Ok(None) };
        Ok(Some(match item.check() {
            Ok(()) => Ok(item),
            Err(refused) => Err(Box::new(BadItem { id: item.id_text(), refusal: *refused })),
        }))
    }
}

/// Its JSON text first, then the type from that. If serde stops, this one item is bad.
pub(crate) struct Patient;

impl Pace for Patient {
    fn next<'de, T: Wire<'de>, A: SeqAccess<'de>>(list: &mut A) -> Result<Option<Item<T>>, A::Error> {
        let Some(raw) = list.next_element::<&'de RawValue>()? else { return Ok(None) };
        Ok(Some(
            read(raw.get())
                .map_err(|refused| Box::new(BadItem { id: text_member(raw, "id"), refusal: *refused })),
        ))
    }
}

/// Reads an object whose fields are lists: briskly as a `B`, and if that fails patiently as a `P`, which is the
/// same type at the other pace. An envelope that is wrong in itself is explained by `object`.
pub(crate) fn read_envelope<'a, B, P, R>(
    text: &'a str,
    object: &'static Object,
    from_brisk: impl FnOnce(B) -> Result<R, Refused>,
    from_patient: impl FnOnce(P) -> Result<R, Refused>,
) -> Result<R, Refused>
where
    B: Deserialize<'a>,
    P: Deserialize<'a>,
{
    match object::from_str(text) {
        Ok(envelope) => from_brisk(envelope),
        Err(_) => match object::from_str(text) {
            Ok(envelope) => from_patient(envelope),
            Err(error) => Err(explain(text, object, &error)),
        },
    }
}

impl<'de, T: Wire<'de>, P: Pace> Deserialize<'de> for Items<T, P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor<T, P>(PhantomData<(T, P)>);
        impl<'de, T: Wire<'de>, P: Pace> Visitor<'de> for ItemsVisitor<T, P> {
            type Value = Items<T, P>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < limits::LIST_ITEMS_MAX {
                    match P::next(&mut list)? {
                        Some(item) => items.push(item),
                        None => return Ok(Items { count: items.len(), items, pace: PhantomData }),
                    }
                }
                let mut count = items.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Items { items, count, pace: PhantomData })
            }
        }
        deserializer.deserialize_seq(ItemsVisitor(PhantomData))
    }
}
