//! The journal's second reading: tells others what has happened, as events.
//!
//! `types` and `cloud_event` say what a record is to others, purely. [`EventSink`] is the seam to those who are told:
//! `sink` has its rules, `reader` follows the journal for one sink, `cursor` is its place and `standing` how far it is;
//! `replayed` tells by `present` what the journal has no longer;
//! `readers` starts and ends them while the shop runs, and `rabbitmq` is the one sink that is here. `buyers` knows how buyers' own
//! issuers name them. Positions are in the order store's database (`store::events`), and the journal keeps what was
//! not told through `actors::holds`. Must not change anything in the shop: no purchase waits for anybody who is told.

mod buyers;
mod cloud_event;
mod cursor;
mod present;
mod rabbitmq;
mod reader;
mod readers;
mod replayed;
mod sink;
mod standing;
mod types;

pub use cloud_event::{CONTENT_TYPE, CloudEvent, EventMaker};
pub use readers::{Begin, EventReaders, JournalHold, ReaderOptions};
pub use sink::{Confirmed, EventSink, ReaderStanding};
pub use types::EventType;
