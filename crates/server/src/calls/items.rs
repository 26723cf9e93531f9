//! Lists in which some items were bad from the start: the good ones go to the engine, the bad ones wait to be answered
//! in their places.

use tidegate_api::read::{BadItem, Item};
use tidegate_api::write;

/// The bad items of a list, by their places.
#[derive(Debug, Default)]
pub(crate) struct Bad {
    items: Vec<(usize, Box<BadItem>)>,
}

impl Bad {
    /// Sorts a list: the bad items are kept, the good ones go to `good`, in order.
    pub(crate) fn sort<T>(items: impl IntoIterator<Item = Item<T>>, mut good: impl FnMut(T)) -> Self {
        let mut bad = Vec::new();
        for (place, item) in items.into_iter().enumerate() {
            match item {
                Ok(item) => good(item),
                Err(item) => bad.push((place, item)),
            }
        }
        Self { items: bad }
    }

    /// All items in the list's order: the good ones in turn, the bad ones in their places.
    pub(crate) fn in_order<G>(
        self,
        good: impl IntoIterator<Item = G>,
    ) -> impl Iterator<Item = Result<G, Box<BadItem>>> {
        let mut good = good.into_iter();
        let mut bad = self.items.into_iter().peekable();
        (0..).map_while(move |place| match bad.next_if(|(bad_place, _)| *bad_place == place) {
            Some((_, item)) => Some(Err(item)),
            None => good.next().map(Ok),
        })
    }

    /// Writes the whole list's results as a JSON list, those of the good items by `write_good`.
    pub(crate) fn write<G>(
        self,
        out: &mut Vec<u8>,
        good: impl IntoIterator<Item = G>,
        mut write_good: impl FnMut(&mut Vec<u8>, G),
    ) {
        write::list(out, self.in_order(good), |out, item| match item {
            Ok(item) => write_good(out, item),
            Err(item) => write::refused_item(out, item.id.as_deref(), &item.refusal),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_api::refusal::{Code, Refusal};

    /// Writes a list described by letters: `b` is bad, everything else good.
    fn check(list: &str, expected: &str) {
        let refusal = Refusal::new(Code::InvalidValue, "");
        let items = list.chars().map(|letter| match letter {
            'b' => Err(Box::new(BadItem { id: None, refusal: refusal.clone() })),
            letter => Ok(letter),
        });
        let mut good = Vec::new();
        let bad = Bad::sort(items, |letter| good.push(letter));
        let mut out = Vec::new();
        bad.write(&mut out, good, |out, letter| out.extend_from_slice(format!("\"{letter}\"").as_bytes()));
        let written: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
        let letters: String = written.iter().map(|item| item.as_str().unwrap_or("b")).collect();
        assert_eq!(letters, expected);
    }

    #[test]
    fn results_stand_where_their_items_stood() {
        for list in ["", "b", "x", "xyz", "bbb", "bxbybb", "xbybz"] {
            check(list, list);
        }
    }
}
