//! The actors and the handles to them.
//!
//! In the order of a purchase: `gate` refuses without a decision, `engine` is the handle, `shard`
//! decides and releases answers once they are durable, `pipeline` brings broker, order store and
//! checkpoints up to date behind the sale. `moving` lets shards come and go, and `cluster` decides which. `status` says how all of them are,
//! `dependencies` what the engine itself needs, `meaning` what that comes to, `order_store` how far that store is, and `health` puts it
//! together. `outside` keeps what other servers say, `directory` where the shards of other nodes are, and `reads` is what
//! is read of the shards. What is not served here `forwarding` has another node decide, by `remote`; `serving` is
//! what this node does for the others. By `peer_keys` they tell each other of idempotency keys, and `told_keys` says
//! what they have been told; `peer_looks` sees whether they answer, and what time it is there. `transfers` moves units between an item's buckets, and `bucket_looks` says what
//! those of other nodes have. `events` tells others what has happened, and `holds` keeps the journal's records for them; `webhooks` are those who are
//! told by requests.

mod bloom_filter;
mod bucket_looks;
mod checkpoint_requests;
pub mod cluster;
mod dependencies;
mod directory;
mod engine;
mod events;
mod forwarding;
mod gate;
mod health;
mod holds;
mod lease;
mod meaning;
mod moving;
mod order_store;
mod outside;
mod peer_keys;
mod peer_looks;
mod pipeline;
mod reads;
mod remote;
mod serving;
mod settings;
mod shard;
mod status;
mod tasks;
mod told_keys;
mod transfers;
mod webhooks;

pub use crate::peers::LinkFigures;
pub use crate::store::outbound::signature::{NotBelieved, SharedSecret};
pub use crate::store::outbound::{NotAllowed, Outbound, OutboundError, OutboundOptions};
pub use crate::store::settings::{
    ENTRIES_MAX, KeptSettings, ListedEntry, NOTE_LENGTH_MAX as ENTRY_NOTE_LENGTH_MAX, NewEntry,
    REASON_LENGTH_MAX as SETTING_REASON_LENGTH_MAX, SettingChange, SettingsError, StoredSetting,
};
pub use crate::store::webhooks::{
    DESCRIPTION_LENGTH_MAX as WEBHOOK_DESCRIPTION_LENGTH_MAX, Delivery as WebhookDelivery,
    Endpoint as WebhookEndpoint, EndpointState as WebhookState,
    ListedDelivery as ListedWebhookDelivery, NewEndpoint as NewWebhook,
    Standing as WebhookStanding, WebhookError,
};
pub use directory::{ClusterNode, Directory, ItemShards};
pub use engine::{Engine, EngineOptions, StartError};
pub use events::{
    Begin, CONTENT_TYPE as EVENT_CONTENT_TYPE, CloudEvent, Confirmed, EventMaker, EventReaders,
    EventSink, EventType, JournalHold, ReaderOptions, ReaderStanding,
};
pub use gate::Gate;
pub use lease::Lease;
pub use meaning::Meaning;
pub use moving::{ArrivedShard, Departure};
pub use outside::{Kept, KeptOptions};
pub use peer_looks::{SeenPeer, ahead as clock_ahead};
pub use pipeline::{BackendOptions, Backends};
pub use serving::Serving;
pub use settings::{LiveSettings, SettingsStanding};
pub use shard::{
    ChangesMissed, DecisionFigures, KeyOrigin, Lack, MailboxFigures, NotDelivered, OrderChanges,
    RecoveryError, Renewal, RenewedShard, Reply, Ring, renew,
};
pub use status::{DependencyStatus, EngineStatus};
pub use tasks::Tasks;
pub use webhooks::{ListedWebhook, WebhookOptions, WebhookRefused, Webhooks, WrittenSecret};
