//! Drills: something is broken on purpose, and then the shop is asked whether every confirmation that a
//! client saw is on record, whether nothing is doubled, and whether it sells again.
//!
//! One [`TABLE`] has them all, with what passes and how each is carried out: some by the laboratory, on any
//! build of the engine, the others by `cargo test`. `docs/drills.md` is printed from it. Each drill is carried
//! out on a [`Shop`] of its own and leaves [`Evidence`], which [`judge`] judges purely: what the drill itself
//! wants, the view of its clients, and the engine's own audit, which nothing can leave out.

mod arguments;
mod course;
mod document;
mod drill;
mod evidence;
mod further;
mod html;
mod load;
mod opening;
mod page;
mod procedures;
mod purchase;
mod setting;
mod shop;
mod strace;
mod table;
mod terminal;
mod views;

pub use arguments::{DrillArguments, drills};
pub use course::{carry_out, chosen};
pub use document::document;
pub use drill::{Carried, Drill, Tests};
pub use evidence::{Evidence, judge};
pub use further::{FURTHER, Further};
pub use load::Load;
pub use opening::Opening;
pub use page::{Ending, Page, Row};
pub use purchase::Heard;
pub use setting::Setting;
pub use shop::Shop;
pub use table::TABLE;
