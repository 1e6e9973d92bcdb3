//! An endpoint: where the shop's events are sent, and how it stands.

use super::seal::SealedSecret;
use domain::Timestamp;

/// How an endpoint stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EndpointState {
    /// It has not proven yet that it is there: nothing is sent to it.
    New,
    /// It is told the shop's events.
    Live,
    /// Nothing is sent to it, because an operator or the shop has said so.
    Disabled,
}

impl EndpointState {
    /// All states there are.
    pub const ALL: [Self; 3] = [Self::New, Self::Live, Self::Disabled];

    /// The name in the tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Live => "live",
            Self::Disabled => "disabled",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What an operator says of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEndpoint {
    /// Where its events are sent.
    pub url: String,
    /// The names of the events that it is told; all if there are none.
    pub types: Vec<String>,
    /// What it is, for people.
    pub description: String,
}

/// The secret of before, which signs beside the present one for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Previous {
    /// The secret, sealed.
    pub secret: SealedSecret,
    /// Until when it signs.
    pub until: Timestamp,
}

/// An endpoint as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The number that it has.
    pub endpoint_id: u64,
    /// What operators have said of it.
    pub said: NewEndpoint,
    /// How it stands.
    pub state: EndpointState,
    /// Why the shop has disabled it; empty if it has not.
    pub reason: String,
    /// What is sent to it is signed with this secret, which is sealed,
    pub secret: SealedSecret,
    /// and with this one.
    pub previous: Option<Previous>,
    /// How often it was changed, from 1.
    pub revision: u64,
    /// When the first delivery failed since one arrived.
    pub failing_since: Option<Timestamp>,
    /// Who changed it last.
    pub actor: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
}

/// Who changes an endpoint, when, and what the operators' log calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Changed<'a> {
    /// The operator's name, or the shop's.
    pub actor: &'a str,
    /// The time of the change.
    pub at: Timestamp,
    /// What is done, such as `webhook.create`.
    pub action: &'static str,
}
