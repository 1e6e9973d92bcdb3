//! The administrator's side of the API: a sale is created, submitted, approved by another
//! person and watched. Not timed, so written plainly.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::audit::ItemStanding;
use crate::scenario::{Guard, Sale};
use crate::wire::Link;
use crate::{Error, Result};

const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an unexpected body an error message carries.
const SHOWN_CHARS: usize = 400;
/// Items that the API takes in one sale.
const ITEMS_PER_SALE_MAX: usize = 200;
/// A sale is kept open for this long beyond its load: nothing may end it by accident.
const OPEN_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(12);

/// A connection to the API, for requests with the tokens that are given.
pub struct Api {
    link: Link,
    host: String,
}

/// A sale that was approved.
#[derive(Debug, Clone)]
pub struct OpenSale {
    /// Its items, in the order of creation.
    pub items: Vec<String>,
}

impl Api {
    /// A client of the server at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self::with_timeout(address, TIMEOUT)
    }

    /// A client that waits no longer than `timeout` for an answer.
    #[must_use]
    pub fn with_timeout(address: SocketAddr, timeout: Duration) -> Self {
        Self { link: Link::new(address, timeout), host: address.to_string() }
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.link.body()
    }

    /// One request; the answer must be a success with a JSON body.
    ///
    /// # Errors
    /// Returns [`Error::Answer`] with the body's beginning, or [`Error::NoAnswer`].
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value> {
        let name = format!("{method} {path}");
        let status = self.order(method, path, token, body).await?;
        serde_json::from_slice(self.link.body()).map_err(|_| self.unexpected(name, status))
    }

    /// One request; the answer must be a success, whatever its body. Returns the status.
    ///
    /// # Errors
    /// Returns an error if [`Api::call`] does.
    pub async fn order(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<u16> {
        let name = format!("{method} {path}");
        let lost = |reason: String| Error::NoAnswer { request: name.clone(), reason };
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request.body(Full::new(bytes)).map_err(|error| lost(error.to_string()))?;
        let answer = self.link.send(request).await;
        let head = answer.map_err(|failure| lost(format!("{failure:?}")))?;
        if (200..300).contains(&head.status) {
            Ok(head.status)
        } else {
            Err(self.unexpected(name, head.status))
        }
    }

    fn unexpected(&self, request: String, status: u16) -> Error {
        let body = String::from_utf8_lossy(self.link.body());
        Error::Answer { request, status, body: body.chars().take(SHOWN_CHARS).collect() }
    }

    /// Creates a sale that opens at `opens_at`, submits it, and has `approver` approve it; as many
    /// of them as its items need.
    ///
    /// # Errors
    /// Returns an error as [`Api::call`] does, and [`Error::Server`] if an answer lacks the ids that
    /// it should have.
    pub async fn open_sale(
        &mut self,
        title: &str,
        sale: &Sale,
        opens_at: jiff::Timestamp,
        operator: &str,
        approver: &str,
    ) -> Result<OpenSale> {
        let numbers: Vec<u32> = (1..=sale.items).collect();
        let mut items = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(ITEMS_PER_SALE_MAX) {
            let part = self.open_part(title, sale, numbers, opens_at, operator, approver);
            items.append(&mut part.await?);
        }
        Ok(OpenSale { items })
    }

    async fn open_part(
        &mut self,
        title: &str,
        sale: &Sale,
        numbers: &[u32],
        opens_at: jiff::Timestamp,
        operator: &str,
        approver: &str,
    ) -> Result<Vec<String>> {
        let items: Vec<Value> = numbers
            .iter()
            .map(|number| {
                let mut item = json!({
                    "product_id": number.to_string(),
                    "title": format!("Item {number}"),
                    "price": 19_900,
                    "list_price": 39_900,
                    "currency": "CNY",
                    "allotted": sale.allotted,
                    "limit_per_user": sale.limit_per_user,
                    "payment_window_seconds": sale.payment_window_seconds,
                    "admission": sale.guard.map(admission),
                });
                // Versions from before there were buckets do not know the field.
                if sale.buckets > 1 {
                    item["buckets"] = sale.buckets.into();
                }
                item
            })
            .collect();
        let body = json!({
            "title": title,
            "starts_at": rfc3339(opens_at),
            "ends_at": rfc3339(opens_at + OPEN_FOR),
            "items": items,
        });
        let post = Method::POST;
        let draft =
            self.call(post.clone(), "/api/v1/admin/sales", Some(operator), Some(&body)).await?;
        let sale_id = text_of(&draft, "sale_id")?;
        let listed = draft.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let items =
            listed.iter().map(|item| text_of(item, "item_id")).collect::<Result<Vec<_>>>()?;
        if items.len() != numbers.len() {
            return Err(Error::Server(format!("asked for {} items: {draft}", numbers.len())));
        }
        for (step, token) in [("submit", operator), ("approve", approver)] {
            let path = format!("/api/v1/admin/sales/{sale_id}/{step}");
            self.call(post.clone(), &path, Some(token), None).await?;
        }
        Ok(items)
    }

    /// The counters of each item, from the first of these servers that knows them.
    ///
    /// # Errors
    /// Returns an error as [`Api::call`] does, and [`Error::Server`] if an answer lacks counters.
    pub async fn standings(servers: &[SocketAddr], items: &[String]) -> Result<Vec<ItemStanding>> {
        let mut servers: Vec<Self> = servers.iter().copied().map(Self::new).collect();
        let mut standings = Vec::with_capacity(items.len());
        for (number, id) in items.iter().enumerate() {
            let path = format!("/api/v1/items/{id}");
            let mut answer = Err(Error::Server("there is no server".to_owned()));
            for server in &mut servers {
                answer = server.call(Method::GET, &path, None, None).await;
                if answer.is_ok() {
                    break;
                }
            }
            let answer = answer?;
            let counter = |name: &str| {
                find(&answer, name)
                    .and_then(Value::as_i64)
                    .ok_or_else(|| Error::Server(format!("no number {name:?} in {answer}")))
            };
            standings.push(ItemStanding {
                item: u32::try_from(number).unwrap_or(u32::MAX),
                allotted: counter("allotted")?,
                available: counter("available")?,
                reserved: counter("reserved")?,
                sold: counter("sold")?,
            });
        }
        Ok(standings)
    }
}

/// A field at any depth: the counters stand in an object of their own.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| object.values().find_map(|inner| find(inner, name)))
}

/// How an item is guarded. Tokens are given out at once: the crowd gets them before the load.
fn admission(guard: Guard) -> Value {
    json!({
        "buy_token": true,
        "challenge": if guard.proof { "proof" } else { "none" },
        "lead_seconds": 86_400,
        "spread_milliseconds": guard.spread_ms,
    })
}

fn text_of(value: &Value, name: &str) -> Result<String> {
    let text = value.get(name).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| Error::Server(format!("no {name:?} in {value}")))
}

fn rfc3339(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
