//! The broker, RabbitMQ: carries durable records from the journal to the order store.
//!
//! The relay publishes batches of records with [`RabbitMqPublisher`], the consumer receives them with
//! [`RabbitMqConsumer`], possibly days later. Messages may be delivered twice and late but are never
//! lost silently: a message counts as published only when it was confirmed *and* not returned, and is
//! acknowledged only when its orders are in the order store.
//!
//! Topology, declared by the publisher alone (so that it notices when the queue was gone and all in
//! it has to be published again):
//!
//! ```text
//! exchange seckill.orders (direct) ── orders ──▶ queue seckill.orders (quorum)
//!                                                    │ rejected, or delivered too often
//! exchange seckill.dead-letters (direct) ── orders ──▶ queue seckill.dead-letters (quorum)
//! exchange seckill.events (topic) ── order.paid, … ──▶ queues of those who want to hear of it
//! ```
//!
//! Of several order stores the further ones have queues `seckill.orders.1` and so on, with keys like them.
//!
//! [`RabbitMqAnnouncer`] publishes to the last one, of which nothing comes back: it may be at another broker.
//!
//! Owns messages, topology and connections. Must not know actors, the journal's files or the order
//! store. A URL carries the password, so no error made here repeats it.

mod address;
mod announcer;
mod consumer;
pub mod dead_letters;
mod error;
pub mod format;
mod link;
mod publisher;
mod purge;
mod session;
mod state;
mod topology;
mod traces;
mod verdict;

pub use address::{BrokerAddress, CONFIRM_TIMEOUT};
pub use announcer::{Announcement, RabbitMqAnnouncer};
pub use consumer::{Delivery, RabbitMqConsumer};
pub use error::BrokerError;
pub use publisher::{Depth, Message, RabbitMqPublisher};
pub use purge::purge;
pub use state::BrokerState;
pub use topology::{ORDERS, OrdersQueue};
pub use verdict::Verdict;
