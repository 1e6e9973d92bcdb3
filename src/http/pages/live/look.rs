//! What one look at the shop found: the form in which a page shows it, and in which it is sent.
//!
//! One look is rendered once, for all who watch, and has a bound in bytes whatever is sold. Must not
//! know where the figures come from.

use super::ring::{History, ITEMS_MAX};
use super::series::{Series, Values};
use super::verdict::Verdict;
use crate::http::pages::language::Language;
use crate::http::pages::words::Words;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// Bytes of one look, at most.
pub const BYTES_MAX: usize = 16_000;
/// Characters of an item's title in a look.
const TITLE_MAX: usize = 24;
/// Reasons of an item's refusals in a look.
const REASONS_MAX: usize = 4;

/// Whether the order store agrees with an item's counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// It was not asked yet, or orders are on their way to it.
    #[default]
    Unheard,
    /// It counts as many units.
    Agrees,
    /// It counts other units although nothing is on its way.
    Differs,
}

/// An item as a look shows it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ItemLook {
    /// Its number, as text.
    pub id: String,
    /// What it is called, cut off where it gets long.
    pub title: String,
    /// Whether it sells: `upcoming`, `live`, `sold_out`, `paused`, `ended` or `quarantined`.
    pub state: &'static str,
    /// Units put on sale.
    pub allotted: u32,
    /// Units that can be bought.
    pub available: u32,
    /// Units of orders that are not paid.
    pub reserved: u32,
    /// Units of paid orders.
    pub sold: u32,
    /// Whether they sum up.
    pub balances: bool,
    /// Whether the order store agrees.
    pub witness: Witness,
    /// Purchases a second, by a sample.
    pub requests: Figure,
    /// What they came to since the item is watched, by a sample: outcomes with how often.
    pub outcomes: Vec<(&'static str, u64)>,
}

/// A dependency as a look shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DependencyLook {
    /// What it is, such as `order_store`.
    pub name: &'static str,
    /// Which implementation serves.
    pub kind: &'static str,
    /// Whether it works.
    pub healthy: bool,
    /// What that means for the sale, in each language.
    pub meaning: Said,
}

/// The same in each language.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Said {
    /// What it is in Chinese.
    pub zh: String,
    /// What it is in English.
    pub en: String,
}

impl Said {
    /// Says something in each language. What gets long is cut off.
    pub fn by(say: impl Fn(Words) -> String) -> Self {
        const SAID_MAX: usize = 240;
        let of = |language| shortened(&say(Words::of(language)), SAID_MAX);
        Self { zh: of(Language::Chinese), en: of(Language::English) }
    }

    /// What it is in this language.
    pub fn of(&self, language: Language) -> &str {
        match language {
            Language::Chinese => &self.zh,
            Language::English => &self.en,
        }
    }
}

/// A number that may be unknown, which is `null` then. Three digits of it count.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure(pub f32);

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let value = f64::from(self.0);
        if !value.is_finite() {
            return out.serialize_none();
        }
        if value.fract() == 0.0 && value.abs() < 1e15 {
            return out.serialize_i64(value as i64);
        }
        let digits = 2 - value.abs().log10().floor() as i32;
        let scale = 10_f64.powi(digits.clamp(0, 6));
        out.serialize_f64((value * scale).round() / scale)
    }
}

/// The values of all series, by name.
#[derive(Clone, Copy, Debug)]
pub struct Named(pub Values);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(Series::ALL.len()))?;
        for series in Series::ALL {
            map.serialize_entry(series.name(), &Figure(self.0[*series as usize]))?;
        }
        map.end()
    }
}

/// What was counted since the process began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Totals {
    /// Purchases that were answered.
    pub requests: u64,
    /// Purchases that a shard decided.
    pub admitted: u64,
    /// Orders that were placed.
    pub placed: u64,
    /// Orders that were paid.
    pub paid: u64,
    /// Orders that were given up.
    pub cancelled: u64,
    /// Orders that expired.
    pub expired: u64,
    /// Pages that were viewed.
    pub views: u64,
    /// Views that were not counted, because too many came at once.
    pub views_dropped: u64,
}

/// A reason for which purchases were refused.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct RefusalLook {
    /// The problem's code.
    pub code: &'static str,
    /// Refusals a second.
    pub rate: Figure,
    /// Refusals since the process began.
    pub total: u64,
}

/// What one look found.
#[derive(Clone, Debug, Serialize)]
pub struct Look {
    /// The second of the look, since 1970.
    pub at: u32,
    /// The second in which the process began.
    pub started_at: u32,
    /// How it is, in a sentence.
    pub verdict: Said,
    /// How good that is: `good`, `watch` or `bad`.
    pub level: &'static str,
    /// Whether all items' units sum up.
    pub balances: bool,
    /// The values of all series.
    pub values: Named,
    /// What was counted since the process began.
    pub totals: Totals,
    /// Why purchases were refused, the most frequent reasons first.
    pub refusals: Vec<RefusalLook>,
    /// The items that are watched.
    pub items: Vec<ItemLook>,
    /// Items that are not settled and not watched.
    pub items_left_out: usize,
    /// Shards that decide, and shards that there are.
    pub shards: (usize, usize),
    /// Permits that there are.
    pub permits: usize,
    /// What the shop depends on.
    pub dependencies: Vec<DependencyLook>,
    /// How many watch.
    pub viewers: usize,
}

impl Look {
    /// Sets what the look comes to.
    pub fn judge(&mut self, verdict: &Verdict) {
        self.level = verdict.level();
        self.verdict = Said::by(|words| verdict.say(words));
    }

    /// The look as JSON, in at most [`BYTES_MAX`] bytes: where it would be longer, the last items are left
    /// out.
    pub fn render(&self) -> Vec<u8> {
        let mut shown = self.clone();
        loop {
            let bytes = serde_json::to_vec(&shown).unwrap_or_default();
            if bytes.len() <= BYTES_MAX || shown.items.is_empty() {
                return bytes;
            }
            let keep = shown.items.len() * 3 / 4;
            shown.items_left_out += shown.items.len() - keep;
            shown.items.truncate(keep);
        }
    }
}

/// The outcomes of an item's purchases that came most often.
pub fn most_frequent(mut outcomes: Vec<(&'static str, u64)>) -> Vec<(&'static str, u64)> {
    outcomes.retain(|(_, count)| *count > 0);
    outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    outcomes.truncate(REASONS_MAX);
    outcomes
}

/// An item's title as a look has it.
pub fn short_title(title: &str) -> String {
    shortened(title, TITLE_MAX)
}

fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}

/// A history as JSON: columns of numbers, `null` where there is a gap.
pub fn render_history(history: &History) -> Vec<u8> {
    #[derive(Serialize)]
    struct Columns<'a> {
        from: u32,
        step: u32,
        series: SeriesColumns<'a>,
        items: Vec<(String, &'a [Option<u32>])>,
    }
    struct SeriesColumns<'a>(&'a [Option<Values>]);
    impl Serialize for SeriesColumns<'_> {
        fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
            let mut map = out.serialize_map(Some(Series::ALL.len()))?;
            for series in Series::ALL {
                map.serialize_entry(series.name(), &Column(self.0, *series as usize))?;
            }
            map.end()
        }
    }
    struct Column<'a>(&'a [Option<Values>], usize);
    impl Serialize for Column<'_> {
        fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
            let mut column = out.serialize_seq(Some(self.0.len()))?;
            for point in self.0 {
                column.serialize_element(&point.map(|values| Figure(values[self.1])))?;
            }
            column.end()
        }
    }
    let items = history.taken.iter().take(ITEMS_MAX);
    serde_json::to_vec(&Columns {
        from: history.from,
        step: history.step,
        series: SeriesColumns(&history.points),
        items: items.map(|(item, taken)| (item.to_string(), taken.as_slice())).collect(),
    })
    .unwrap_or_default()
}

#[cfg(test)]
pub mod tests {
    use super::super::series::SERIES;
    use super::*;
    use crate::http::problem::Code;
    use domain::ItemId;

    /// An item whose look takes the most room.
    pub fn worst_item() -> ItemLook {
        ItemLook {
            id: u64::MAX.to_string(),
            title: short_title(&"😀".repeat(200)),
            state: "quarantined",
            allotted: u32::MAX,
            available: u32::MAX,
            reserved: u32::MAX,
            sold: u32::MAX,
            balances: false,
            witness: Witness::Differs,
            requests: Figure(12_345.67),
            outcomes: most_frequent(Code::ALL.iter().map(|code| (code.name(), u64::MAX)).collect()),
        }
    }

    /// A look at a shop with nothing in it.
    pub fn nothing() -> Look {
        Look {
            at: 1,
            started_at: 1,
            verdict: Said::by(|_| String::new()),
            level: "good",
            balances: true,
            values: Named([f32::NAN; SERIES]),
            totals: Totals::default(),
            refusals: Vec::new(),
            items: Vec::new(),
            items_left_out: 0,
            shards: (1, 1),
            permits: 1,
            dependencies: Vec::new(),
            viewers: 0,
        }
    }

    #[test]
    fn a_look_has_a_bound_whatever_is_sold() {
        let long = "a dependency's trouble, told at length; ".repeat(100);
        let dependency = DependencyLook {
            name: "order_store",
            kind: "in-process",
            healthy: false,
            meaning: Said::by(|_| long.clone()),
        };
        let refusal = |code: &Code| RefusalLook { code: code.name(), rate: Figure(1e9), total: 1 };
        let look = Look {
            values: Named([-123_456.78; SERIES]),
            refusals: Code::ALL.iter().map(refusal).collect(),
            items: vec![worst_item(); ITEMS_MAX],
            dependencies: vec![dependency; 7],
            ..nothing()
        };
        let bytes = look.render();
        assert!(bytes.len() <= BYTES_MAX, "{}", bytes.len());
        let shown: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
        let items = shown["items"].as_array().expect("items").len();
        assert!(items >= 8, "{items}");
        assert_eq!(shown["items_left_out"], ITEMS_MAX - items);
        // All 32 fit in an ordinary night.
        let item =
            ItemLook { title: short_title("搪瓷杯"), outcomes: Vec::new(), ..worst_item() };
        let bytes = Look { items: vec![item; ITEMS_MAX], ..nothing() }.render();
        let shown: serde_json::Value = serde_json::from_slice(&bytes).expect("it is JSON");
        assert_eq!(shown["items_left_out"], 0);
    }

    #[test]
    fn numbers_are_short_and_the_unknown_is_null() {
        for (value, expected) in [
            (f32::NAN, "null"),
            (f32::INFINITY, "null"),
            (0.0, "0"),
            (1_234_567.0, "1234567"),
            (1_234.56, "1235.0"),
            (12.345, "12.3"),
            (0.012_345, "0.0123"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(serde_json::to_string(&Figure(value)).expect("a number"), expected);
        }
    }

    #[test]
    fn a_history_is_columns_with_gaps() {
        let history = History {
            from: 60,
            step: 1,
            points: vec![Some([1.5; SERIES]), None],
            taken: vec![(ItemId(7), vec![Some(3), None])],
        };
        let shown: serde_json::Value =
            serde_json::from_slice(&render_history(&history)).expect("it is JSON");
        assert_eq!(shown["series"]["placed"], serde_json::json!([1.5, null]));
        assert_eq!(shown["items"], serde_json::json!([["7", [3, null]]]));
        assert_eq!((shown["from"].clone(), shown["step"].clone()), (60.into(), 1.into()));
    }
}
