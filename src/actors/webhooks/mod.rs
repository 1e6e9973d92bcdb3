//! Webhooks: the shop's events as signed requests to endpoints that operators have entered.
//!
//! An endpoint is a sink of the journal's second reading (`actors::events`) with a reader of its own, which `follower`
//! adds and takes away as the endpoints change. `new_events` sends what the reader brings, in lanes by order; what is
//! not taken waits in the database, where `repeats` tries it again by `schedule`. `receiver` is one endpoint with its
//! signature and its circuit, and `handle` is what operators may do with all of them.
//!
//! - Nothing is skipped: an event counts as told once the receiver has taken it or it waits in the database.
//! - At most one event of an order is under way, and none is sent while an earlier one of its order waits.
//! - Memory is bounded whatever receivers do: by a batch, and by what waits at once for an answer.
//! - In a cluster the node that serves a shard sends its events, and repeats them.

mod follower;
mod handle;
mod new_events;
mod receiver;
mod repeats;
mod schedule;
mod shared;

pub use handle::{ListedWebhook, WebhookRefused, Webhooks, WrittenSecret};
pub use shared::WebhookOptions;

/// The type of the event that asks a receiver whether it is there.
const PING: &str = "seckill.webhook.ping";
