//! The pure core: what a sale is, and how stock is decided.
//!
//! Nothing here reads a clock, draws a random number, touches a file or awaits: time, identities
//! and commands come in as data, and effects go out as values ([`Event`], [`Outcome`]).

pub mod address;
pub mod admission;
pub mod approval;
pub mod buckets;
pub mod catalogue;
pub mod command;
pub mod event;
pub mod exchange;
pub mod ids;
pub mod invariants;
pub mod operation;
pub mod operator;
pub mod order;
pub mod parts;
pub mod payment;
pub mod rate;
pub mod rfc3339;
pub mod risk;
pub mod sale;
pub mod stock;

pub use address::{Address, Network};
pub use admission::{Admission, Challenge};
pub use approval::{Makers, SaleStage, SaleStatus, SaleStep, StepRefused};
pub use buckets::{Buckets, Transfer, UnitsWanted};
pub use command::{Buy, Command, Outcome, Refusal};
pub use event::{Event, Record};
pub use exchange::{Exchange, Peer};
pub use ids::{ItemId, OrderId, RequestId, SaleId, ShardId, Timestamp, UserId};
pub use operation::{ItemAction, Operation, OperatorRequest};
pub use operator::{OperatorRole, OperatorRoles};
pub use order::{Order, OrderStatus};
pub use parts::{Part, Parts};
pub use payment::{
    OrderPayments, Payment, PaymentAsked, PaymentId, PaymentNotice, PaymentOutcome, PaymentRecord,
    PaymentReference, PaymentResult, PaymentState, ProviderName,
};
pub use sale::{AMOUNT_MAX, Currency, ItemCounters, ItemPhase, ItemTerms};
pub use stock::Stock;
