//! The report of a run: everything a reader needs to believe or doubt it, as data. The
//! terminal table, the JSON file and the HTML page are three views of this one value.

mod build;
mod chart;
mod criteria;
mod data;
mod html;
mod judged;
pub(crate) mod page;
pub(crate) mod terminal;
mod views;

pub use data::{GeneratorFigures, Milestones, OutcomeCount, Percentiles, Report, TimelineRow};
pub use judged::Judged;
