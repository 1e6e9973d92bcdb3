//! What a scenario file may say. Parsing and validation only: nothing here starts
//! anything, so a mistake in a file is found before a server or a socket exists.

mod faults;
mod file;
mod model;
mod validate;

pub use faults::{Backend, Fault, FaultKind};
pub use model::{
    Afterwards, Criteria, Entry, Generator, Guard, LoopKind, Mix, People, Retry, Sale, Scenario,
    Server,
};
pub use validate::NODES_MAX;
