//! Purchases that a drill makes itself, one by one, with what each heard.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Uri;

use crate::drive::Crowd;
use crate::outcome::{Class, Outcome, number_field};
use crate::wire::{Answer, Link};

/// A purchase of the drill's own may take so long.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// What one purchase heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its outcome.
    pub outcome: Outcome,
    /// The answer's status; 0 if there was none.
    pub status: u16,
    /// The order, if it was granted.
    pub order: Option<u64>,
}

/// One purchase.
pub struct Purchase {
    /// The user, counted from 0.
    pub user: u32,
    /// The item, counted from 0.
    pub item: u32,
    /// The request id.
    pub key: u64,
    /// Where, if not at the item's plain address.
    pub url: Option<Uri>,
}

impl Purchase {
    /// Sends it to the server at this address, over a connection of its own.
    pub async fn send(self, crowd: &Crowd, address: SocketAddr) -> Heard {
        let mut link = Link::new(address, ANSWER_WAIT_MAX);
        let mut request = crowd.buy(self.user, self.item, self.key);
        if let Some(url) = self.url {
            *request.uri_mut() = url;
        }
        let answer = link.send(request).await;
        Heard::of(answer, link.body())
    }
}

impl Heard {
    /// What this answer says.
    pub fn of(answer: Answer, body: &[u8]) -> Self {
        let head = match answer {
            Ok(head) => head,
            Err(failure) => {
                let outcome = Outcome::of_failure(failure);
                return Self { outcome, status: 0, order: None };
            }
        };
        let order = number_field(body, b"\"order_id\"");
        let outcome = match (head.status, order) {
            (201, Some(_)) => Outcome::Reserved,
            (200, Some(_)) => Outcome::Replayed,
            (200..=299, _) => Outcome::Malformed,
            (status, _) => Outcome::of_refusal(status, body),
        };
        let order = order.filter(|_| outcome.class() == Class::Granted);
        Self { outcome, status: head.status, order }
    }
}
