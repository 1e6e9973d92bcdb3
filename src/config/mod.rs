//! What can be set, and to what. `config.toml` is printed from the declaration in `settings.rs`, and a
//! test checks that it still is.
//!
//! Values come from the defaults, then the file, then the environment (`SECKILL__SECTION__KEY`, and
//! `SECKILL__SECTION__KEY_FILE` for secrets). All of it is checked before a socket opens.

mod agreement;
mod algorithms;
mod choices;
pub mod declare;
mod load;
mod render;
mod rules;
mod secret_text;
mod secret_url;
mod settings;
mod source;
mod stores;
mod texts;

pub use algorithms::{SignatureAlgorithm, algorithms};
pub use choices::{
    ChallengeProvider, ClientAddress, CompatSettle, OnChallengeError, RiskAction, RiskMode,
    VisitId, WhenExceeded,
};
pub use load::{DEFAULT_FILE, Invalid, Loaded, Origin, Problem, load};
pub use render::{Effective, effective, template};
pub use rules::ORDER_STORES_MAX;
pub use secret_text::SecretText;
pub use secret_url::{SecretUrl, SecretUrls};
pub use settings::{
    Backlog, Broker, BuyToken, Challenge, Checkpoint, Cluster, Compat, Config, Data, Demo, Engine,
    Events, Http, Journal, Limits, Log, OPERATIONS_LISTEN_DEFAULT, Oidc, Operations, Orders,
    Payments, Risk, Tokens, Traces, Users, Webhooks,
};
pub use source::Source;
pub use texts::named_users;
