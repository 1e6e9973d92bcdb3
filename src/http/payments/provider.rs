//! The port to who takes the buyers' money: it is asked to begin a payment and answers where the buyer goes. What
//! became of the payment it tells later, by callbacks.
//!
//! One interface for every provider, small enough for an adapter in front of a certain one. Both sides sign what they
//! send. Must not know orders, nor what a payment does to one.

use crate::actors::{NotBelieved, SharedSecret};
use crate::actors::{Outbound, OutboundError};
use domain::{PaymentId, ProviderName, Timestamp};
use hyper::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The longest address that a buyer is sent to, in bytes.
const URL_BYTES_MAX: usize = 2_048;
/// For how long a failure makes the provider count as away.
const TROUBLE: Duration = Duration::from_secs(60);

/// A payment that is to begin, as the provider is told of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Beginning {
    /// The payment. Asked again for the same one, the provider begins no other.
    pub payment_id: String,
    /// The order that it is for.
    pub order_id: String,
    /// What is to be paid, in minor units of `currency`.
    pub amount: u64,
    /// ISO 4217 code.
    pub currency: String,
    /// Until when the order can be paid, RFC 3339. Money that comes later is given back.
    pub expires_at: String,
    /// Where the buyer goes afterwards, if the shop knows where browsers find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
}

/// What the provider answers.
#[derive(Debug, Deserialize)]
struct Begun {
    url: String,
}

/// Why no payment began, in words for the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotBegun {
    /// There was no answer.
    #[error(transparent)]
    NoAnswer(#[from] OutboundError),
    /// The provider would not.
    #[error("it answered with status {0}")]
    Refused(u16),
    /// The answer has no address that a browser could be sent to.
    #[error("its answer has no url of http or https")]
    NoAddress,
}

/// A provider of real money, at the other end of a signed interface.
pub struct PaymentProvider {
    name: ProviderName,
    outbound: Outbound,
    secret: SharedSecret,
}

impl fmt::Debug for PaymentProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PaymentProvider({})", self.name)
    }
}

impl PaymentProvider {
    /// Makes the provider of this name, which is reached by `outbound` and shares the secret.
    pub fn new(name: ProviderName, outbound: Outbound, secret: SharedSecret) -> Self {
        Self { name, outbound, secret }
    }

    /// Its name, by which its callbacks come.
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// Has a payment begin, and returns where the buyer goes to pay.
    ///
    /// # Errors
    /// Returns `NotBegun` if the provider does not say where. It may have begun all the same; asked again for the
    /// same payment it begins no other.
    pub async fn begin(
        &self,
        id: PaymentId,
        beginning: &Beginning,
        now: Timestamp,
    ) -> Result<String, NotBegun> {
        let body = serde_json::to_string(beginning).map_err(|_| NotBegun::NoAddress)?;
        let headers = self.secret.headers(&id.to_string(), now, body.as_bytes());
        let reply = self.outbound.post_with("application/json", &headers, body).await?;
        if !(200..300).contains(&reply.status) {
            self.note_failure_below(reply.status);
            return Err(NotBegun::Refused(reply.status));
        }
        let begun: Option<Begun> = serde_json::from_slice(&reply.body).ok();
        let url = begun.map(|begun| begun.url).filter(|url| leads_somewhere(url));
        url.ok_or_else(|| {
            self.outbound.note_failure();
            NotBegun::NoAddress
        })
    }

    /// What is 500 or more has been noted already.
    fn note_failure_below(&self, status: u16) {
        if status < 500 {
            self.outbound.note_failure();
        }
    }

    /// Checks that a callback is the provider's.
    ///
    /// # Errors
    /// Returns `NotBelieved` if it is not.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
        body: &[u8],
    ) -> Result<(), NotBelieved> {
        self.secret.verify(headers, now, body)
    }

    /// Whether payments could begin in the last minute, as far as any were to.
    pub fn is_healthy(&self) -> bool {
        self.outbound.failed_ago().is_none_or(|ago| ago > TROUBLE)
    }
}

/// Whether a browser can be sent there.
fn leads_somewhere(url: &str) -> bool {
    let is_plain = url.len() <= URL_BYTES_MAX && url.bytes().all(|byte| byte.is_ascii_graphic());
    let uri = url.parse::<Uri>().ok().filter(|_| is_plain);
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buyer_is_sent_to_pages_of_the_web_alone() {
        for (url, expected) in [
            ("https://pay.example/p/1?token=a%20b#x", true),
            ("http://127.0.0.1:8081/p/1", true),
            ("", false),
            ("/p/1", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("https://", false),
            ("https://pay.example/a b", false),
            ("https://pay.example/\r\nset-cookie:x", false),
            ("https://pay.example/支付", false),
        ] {
            assert_eq!(leads_somewhere(url), expected, "{url:?}");
        }
        assert!(!leads_somewhere(&format!("https://pay.example/{}", "x".repeat(2_048))));
    }
}
