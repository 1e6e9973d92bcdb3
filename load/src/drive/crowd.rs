//! The users and the requests they send, prepared before the clock starts: header
//! values and paths are shared, so that a request costs the generator little.

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use hyper::{Method, Request, Uri};
use serde::Deserialize;

use crate::plan::{DEAD_ITEMS, Page};
use crate::wire::Outgoing;
use crate::{Error, Result};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const BUY_ONE: Bytes = Bytes::from_static(br#"{"quantity":1}"#);
/// Where item ids that do not exist begin.
const DEAD_ITEM_FIRST: u64 = 900_000_000_000_000;

/// A line of `seckill mint`.
#[derive(Debug, Deserialize)]
struct Minted {
    user_id: String,
    token: String,
}

/// Users, items, and everything about their requests that does not change.
#[derive(Clone, Debug)]
pub struct Crowd {
    user_ids: Vec<u64>,
    tokens: Vec<HeaderValue>,
    buy_paths: Vec<Uri>,
    item_ids: Vec<u64>,
    host: HeaderValue,
    json: HeaderValue,
    /// Tells the request ids of this run from those of every other.
    run: u64,
    /// Where a user buys a guarded item.
    buy_urls: HashMap<(u32, u32), Uri>,
    /// Where the script tries to.
    forged_urls: Vec<Uri>,
}

impl Crowd {
    /// The users of `minted` (one JSON line each), who want `items` of the server at
    /// `host`; `run` makes their request ids this run's own.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if a line or an id cannot be read.
    pub fn new(minted: &str, items: &[String], host: &str, run: u64) -> Result<Self> {
        let mut crowd = Self {
            user_ids: Vec::new(),
            tokens: Vec::new(),
            buy_paths: Vec::new(),
            item_ids: Vec::new(),
            host: value(host)?,
            json: HeaderValue::from_static("application/json"),
            run,
            buy_urls: HashMap::new(),
            forged_urls: Vec::new(),
        };
        for line in minted.lines().filter(|line| !line.trim().is_empty()) {
            let Minted { user_id, token } = serde_json::from_str(line)
                .map_err(|error| Error::Server(format!("a minted line is not JSON: {error}")))?;
            crowd.user_ids.push(number("user", &user_id)?);
            crowd.tokens.push(value(&format!("Bearer {token}"))?);
        }
        if crowd.tokens.is_empty() {
            return Err(Error::Server("no users were minted".to_owned()));
        }
        crowd.set_items(items)?;
        Ok(crowd)
    }

    /// The same users come for other items, under a new run's request ids.
    ///
    /// # Errors
    /// Returns [`Error::Server`] if an item's id is not a number.
    pub fn turn_to(&mut self, items: &[String], host: &str, run: u64) -> Result<()> {
        self.host = value(host)?;
        self.run = run;
        self.set_items(items)
    }

    fn set_items(&mut self, items: &[String]) -> Result<()> {
        self.item_ids = items.iter().map(|item| number("item", item)).collect::<Result<_>>()?;
        let dead = (0..u64::from(DEAD_ITEMS)).map(|number| DEAD_ITEM_FIRST + number);
        let paths = self.item_ids.iter().copied().chain(dead);
        self.buy_paths = paths.map(|id| path(&format!("/api/v1/items/{id}/buy"))).collect();
        let forged = |id| path(&format!("/api/v1/items/{id}/buy/{}", "A".repeat(48)));
        self.forged_urls = self.item_ids.iter().map(forged).collect();
        self.buy_urls.clear();
        Ok(())
    }

    /// Number of users.
    #[must_use]
    pub fn users(&self) -> u32 {
        u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)
    }

    /// Ids of the items on sale.
    #[must_use]
    pub fn item_ids(&self) -> &[u64] {
        &self.item_ids
    }

    /// A user's id as the server knows it.
    #[must_use]
    pub fn user_id(&self, user: u32) -> u64 {
        self.user_ids[user as usize]
    }

    /// A user's token, for requests that are not part of the load.
    #[must_use]
    pub fn token(&self, user: u32) -> &str {
        let value = self.tokens[user as usize].to_str().unwrap_or_default();
        value.trim_start_matches("Bearer ")
    }

    /// Keeps where users buy guarded items: by user and item.
    pub fn set_buy_urls(&mut self, buy_urls: HashMap<(u32, u32), Uri>) {
        self.buy_urls = buy_urls;
    }

    /// The request to buy one unit, as the page sends it.
    #[must_use]
    pub fn buy(&self, user: u32, item: u32, key: u64) -> Outgoing {
        let url = self.buy_urls.get(&(user, item)).unwrap_or(&self.buy_paths[item as usize]);
        self.purchase(url.clone(), user, key)
    }

    /// The request to buy one unit, as a script sends it that skips the page: every other one
    /// with a token that it made up.
    #[must_use]
    pub fn script(&self, user: u32, item: u32, key: u64) -> Outgoing {
        let urls = if key & 2 == 0 { &self.buy_paths } else { &self.forged_urls };
        self.purchase(urls[item as usize].clone(), user, key)
    }

    fn purchase(&self, url: Uri, user: u32, key: u64) -> Outgoing {
        let mut request = Request::new(Full::new(BUY_ONE));
        *request.uri_mut() = url;
        self.sign(&mut request, user);
        let key = HeaderValue::from_str(&format!("{:016x}-{key:012x}", self.run));
        let key = key.expect("hexadecimal digits are a header value");
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        request.headers_mut().insert(CONTENT_TYPE, self.json.clone());
        request
    }

    /// The request to pay or cancel an order.
    #[must_use]
    pub fn close(&self, user: u32, order: u64, verb: &str) -> Outgoing {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = path(&format!("/api/v1/orders/{order}/{verb}"));
        self.sign(&mut request, user);
        request
    }

    /// The request to look at a page, as a browser sends it; with the version of it that the
    /// reader has, if any.
    #[must_use]
    pub fn view(&self, page: Page, item: u32, version: Option<&HeaderValue>) -> Outgoing {
        let id = self.item_ids[item as usize];
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = match page {
            Page::Home => Uri::from_static("/en/"),
            Page::Sales => Uri::from_static("/api/v1/sales"),
            Page::Item => path(&format!("/en/items/{id}")),
            Page::Status => path(&format!("/api/v1/items/{id}")),
        };
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(version) = version {
            headers.insert(IF_NONE_MATCH, version.clone());
        }
        request
    }

    fn sign(&self, request: &mut Outgoing, user: u32) {
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.reserve(4);
        headers.insert(HOST, self.host.clone());
        headers.insert(AUTHORIZATION, self.tokens[user as usize].clone());
    }
}

fn path(text: &str) -> Uri {
    Uri::try_from(text).expect("digits and slashes are a path")
}

fn value(text: &str) -> Result<HeaderValue> {
    let wrong = |_| Error::Server(format!("{text:?} cannot be sent in a header"));
    HeaderValue::from_str(text).map_err(wrong)
}

fn number(what: &str, id: &str) -> Result<u64> {
    id.parse().map_err(|_| Error::Server(format!("the {what} id {id:?} is not a decimal number")))
}
