//! A purchase while it is answered, to be counted by what it came to, and traced if it is picked.

use super::funnels;
use super::traced::{Interface, Traced};
use crate::http::problem::Problem;
use crate::http::purchase::Bought;
use crate::http::state::Edge;
use crate::telemetry::traces::TraceContext;
use domain::ItemId;
use hyper::HeaderMap;
use std::time::Duration;

/// A purchase that has begun.
#[derive(Debug)]
pub struct Purchasing {
    number: u64,
    /// How often it counts, and when it began; none if it is not timed.
    timed: Option<(u64, Duration)>,
    traced: Traced,
}

impl Purchasing {
    /// Begins the purchase of this number, which has come by this interface with these headers.
    #[inline]
    pub fn begin(edge: &Edge, number: u64, interface: Interface, headers: &HeaderMap) -> Self {
        let weight = edge.metrics.purchase_weight(number);
        Self {
            number,
            timed: weight.map(|weight| (weight, edge.clock.elapsed())),
            traced: Traced::begin(edge, number, interface, headers),
        }
    }

    /// The number that no other request of this process has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The purchase's span, if it is traced.
    #[inline]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.traced.context()
    }

    /// Counts what the purchase of this item came to.
    #[inline]
    pub fn end(self, edge: &Edge, item_id: Option<ItemId>, outcome: Result<&Bought, &Problem>) {
        if let Some((weight, started_at)) = self.timed {
            edge.metrics.purchase_took(edge.clock.elapsed().saturating_sub(started_at), weight);
            if let Some(item_id) = item_id {
                edge.metrics.funnels.count(item_id, came_to(outcome), weight);
            }
        }
        match outcome {
            Ok(bought) => edge.metrics.purchased(bought.replayed),
            Err(problem) => edge.metrics.refused(problem.code),
        }
        self.traced.end(item_id, outcome);
    }
}

/// What a purchase came to, as a funnel counts it.
fn came_to(outcome: Result<&Bought, &Problem>) -> usize {
    match outcome {
        Ok(bought) if bought.replayed => funnels::REPLAYED,
        Ok(_) => funnels::PLACED,
        Err(problem) => funnels::outcome_of(problem.code),
    }
}
