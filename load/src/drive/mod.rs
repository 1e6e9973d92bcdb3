//! The generator. Each thread has its own event loop, connections, plan and record, and
//! shares nothing but a few counters for the progress line: the generator runs on the
//! machine it measures, so it must be cheap.
//!
//! *Open loop*: a request is due when the schedule says so, whatever the server does,
//! and its latency counts from that moment. *Closed loop*: each connection sends its
//! next request when it has the answer to the last.

mod crowd;
mod deciders;
mod dispatcher;
mod entrances;
mod entry;
mod generator;
mod record;
mod timer;
pub mod tokens;
mod work;
mod worker;

pub use crowd::Crowd;
pub use deciders::Deciders;
pub use entrances::Entrances;
pub use generator::{Running, default_threads, start};
pub use record::{Confirmation, FollowUp, Record, Second, Unresolved};
pub use work::{Progress, Work};
