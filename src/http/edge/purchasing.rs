//! A purchase while it is answered, to be counted by what it came to.

use super::funnels;
use crate::http::problem::Problem;
use crate::http::purchase::Bought;
use crate::http::state::Edge;
use domain::ItemId;
use std::time::Duration;

/// A purchase that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Purchasing {
    /// How often it counts, and when it began; none if it is not timed.
    timed: Option<(u64, Duration)>,
}

impl Purchasing {
    /// Begins the purchase of this number.
    #[inline]
    pub fn begin(edge: &Edge, number: u64) -> Self {
        let weight = edge.metrics.purchase_weight(number);
        Self { timed: weight.map(|weight| (weight, edge.clock.elapsed())) }
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
