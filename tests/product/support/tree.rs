//! Spans of one trace, by the names on the way from its beginning.

use super::collector::Found;
use std::collections::BTreeMap;

/// The spans of one trace.
#[derive(Debug)]
pub struct Tree(BTreeMap<String, Found>);

impl Tree {
    /// The spans, which must be of one trace, be one tree and have each way once.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub fn of(spans: &[Found]) -> Self {
        let by_id: BTreeMap<&[u8], &Found> =
            spans.iter().map(|span| (span.span_id.as_slice(), span)).collect();
        assert_eq!(by_id.len(), spans.len(), "a span comes twice: {spans:#?}");
        let mut tree = BTreeMap::new();
        for span in spans {
            assert_eq!(span.trace_id, spans[0].trace_id, "two traces: {spans:#?}");
            let mut way = vec![span.name.as_str()];
            let mut at = span;
            while let Some(parent) = by_id.get(at.parent_id.as_slice()) {
                assert!(way.len() < spans.len(), "a circle: {spans:#?}");
                way.push(&parent.name);
                at = parent;
            }
            way.reverse();
            let before = tree.insert(way.join(" > "), span.clone());
            assert!(before.is_none(), "{} is there twice", way.join(" > "));
        }
        Self(tree)
    }

    /// The spans' ways, sorted.
    pub fn ways(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The span at the end of this way.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn at(&self, way: &str) -> &Found {
        self.0.get(way).unwrap_or_else(|| panic!("no {way}: {:#?}", self.0))
    }

    /// The span's time lies within its parent's.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn is_within_parent(&self, way: &str) {
        let (parent, _) = way.rsplit_once(" > ").expect("a parent");
        let (parent, own) = (self.at(parent), self.at(way));
        let is_within = parent.started_at <= own.started_at && own.ended_at <= parent.ended_at;
        assert!(is_within, "{own:#?} is not within {parent:#?}");
    }

    /// The one span ends before, or as, the other one begins.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn is_before(&self, way: &str, other: &str) {
        let (one, next) = (self.at(way), self.at(other));
        assert!(one.ended_at <= next.started_at, "{next:#?} begins before the end of {one:#?}");
    }
}
