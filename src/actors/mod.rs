//! The actors and the handle to them.

pub mod books;
pub mod engine;
pub mod gate;
pub mod preheat;

pub use books::{Books, BooksUnavailable};
pub use engine::{DependencyStatus, Engine, EngineStatus, KeyOrigin, NotDelivered, Reply};
pub use gate::Gate;
