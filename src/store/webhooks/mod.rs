//! Who is told the shop's events by webhooks, which events wait for a receiver to take them, and what became of the
//! latest attempts: beside the orders, in their database.
//!
//! A secret is here in sealed form alone (`seal.rs`). Must not know what an event is, nor when one is sent.

mod deliveries;
mod endpoint;
mod endpoints;
mod error;
mod seal;
mod waiting;

pub use deliveries::{DELIVERIES_KEPT_MAX, Delivery, ListedDelivery};
pub use endpoint::{Changed, Endpoint, EndpointState, NewEndpoint, Previous};
pub use error::WebhookError;
pub use seal::{SealKey, SealedSecret};
pub use waiting::{KnownWaiting, Settled, Standing, WAITING_MAX, WaitingEvent, WaitingKey};

use crate::store::database::Database;

/// The longest description of an endpoint, in characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 200;
/// The longest text that says why something failed, in characters.
const REASON_LENGTH_MAX: usize = 200;

/// A handle to the webhooks. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct WebhookStore {
    database: Database,
}

impl WebhookStore {
    /// Creates a handle to the webhooks in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// A text as the tables keep it: its beginning, if it is longer than it may be.
fn shortened(text: &str) -> String {
    text.chars().take(REASON_LENGTH_MAX).collect()
}
