//! The auditor's comparison: what clients were told, against the server's counters, against the
//! order store. A pure function, so that it can be shown planted lies and must find them. It judges
//! by the engine's own invariants (`domain::invariants`), which the engine's audit calls too.

mod compare;
mod verdict;
mod views;

pub use compare::compare;
pub use verdict::{Finding, Verdict};
pub use views::{ClientView, ItemStanding, Rules, StoredOrder};
