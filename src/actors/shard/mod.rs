//! A shard: the actor that alone decides about its products' stock, and what surrounds it.
//!
//! In the order of a purchase: `permits` and `idempotency` bound what comes in, `router` and `ring`
//! find the shard, `mailbox` keeps what was admitted, `look_ahead` asks memory for what it needs, `actor` and
//! `processor` decide, `effects` are released once they are durable; `figures` are counted on the way. What finds a
//! dry bucket waits as `parked`, and `wishes` tell of it. `context` is what all shards share; `supervisor`, `quarantine` and
//! `recovery` are for failures; `replay` is where the journal is read into the stocks at a start.

mod actor;
pub(in crate::actors) mod context;
pub(in crate::actors) mod effects;
pub(in crate::actors) mod figures;
pub(in crate::actors) mod idempotency;
mod look_ahead;
pub(in crate::actors) mod mailbox;
mod parked;
pub(in crate::actors) mod permits;
mod processor;
mod quarantine;
pub(in crate::actors) mod recovery;
mod renewal;
mod replay;
pub(in crate::actors) mod ring;
pub(in crate::actors) mod router;
pub(in crate::actors) mod supervisor;
pub(in crate::actors) mod wishes;

pub use effects::{ChangesMissed, NotDelivered, OrderChanges, Reply};
pub use figures::{DecisionFigures, MailboxFigures};
pub use idempotency::KeyOrigin;
pub use recovery::{Lack, RecoveryError};
pub(in crate::actors) use recovery::{TakenOver, take_over};
pub use renewal::{Renewal, RenewedShard, renew};
pub use ring::Ring;
