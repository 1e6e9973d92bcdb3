//! What can be set, and to what. `config.toml` is printed from the declaration in `settings.rs`, and a
//! test checks that it still is.
//!
//! Values come from the defaults, then the file, then the environment (`SECKILL__SECTION__KEY`, and
//! `SECKILL__SECTION__KEY_FILE` for secrets). All of it is checked before a socket opens.

pub mod declare;
mod load;
mod render;
mod secret_url;
mod settings;

pub use load::{DEFAULT_FILE, Invalid, Loaded, Origin, Problem, load};
pub use render::{Effective, effective, template};
pub use secret_url::SecretUrl;
pub use settings::{
    Backlog, Broker, Checkpoint, Config, Data, Demo, Engine, Http, Journal, Log,
    OPERATIONS_LISTEN_DEFAULT, Operations, Orders, Payments, Tokens, WhenExceeded,
};
