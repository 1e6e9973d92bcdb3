//! The actors and the handle to them.

pub mod engine;
pub mod gate;

pub use engine::{DependencyStatus, Engine, EngineStatus, KeyOrigin, NotDelivered, Reply};
pub use gate::Gate;
