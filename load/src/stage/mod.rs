//! The stage of a run: the engine's process, its private backends, the administrator who
//! makes the sale, and the counters read afterwards. It knows the engine by its command
//! line, its HTTP API and its order store's table, not by its code.

mod api;
mod backends;
mod backlog;
mod build;
mod engine;
mod machine;
mod nodes;
mod peer;
mod sampler;
mod stored;
mod trace_collector;

pub use api::{Api, OpenSale};
pub use backends::{Backends, Behind, MARIADB_SETTINGS, backend_error};
pub use backlog::{Backlog, BacklogReader, Drain, figure};
pub use build::find_binary;
pub use engine::{Engine, EngineOptions};
pub use machine::Machine;
pub use nodes::{Nodes, called};
pub use peer::Peer;
pub use sampler::{QUIET_LOOK, Sample, Sampler, own_processor_seconds, until_quiet};
pub use stored::{OrderStore, Stored};
pub use trace_collector::TraceCollector;
