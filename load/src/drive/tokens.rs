//! Buy tokens, which buyers of guarded items get before the load begins: the page's part, not timed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::crowd::Crowd;
use crate::wire::Link;
use crate::{Error, Result};

/// Connections over which tokens are asked for.
const CONNECTIONS: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where each of these users buys each of these items.
///
/// # Errors
/// Returns an error if a token is not given out, or a challenge cannot be solved.
pub async fn fetch(
    crowd: &Arc<Crowd>,
    address: SocketAddr,
    wishes: &[(u32, u32)],
    with_proof: bool,
) -> Result<HashMap<(u32, u32), Uri>> {
    let mut tasks = JoinSet::new();
    for wishes in wishes.chunks(wishes.len().div_ceil(CONNECTIONS).max(1)) {
        let (crowd, wishes) = (Arc::clone(crowd), wishes.to_vec());
        tasks.spawn(async move {
            let mut page = Page { link: Link::new(address, TIMEOUT), host: address.to_string() };
            let mut urls = Vec::with_capacity(wishes.len());
            for (user, item) in wishes {
                let url = page.buy_url(&crowd, user, item, with_proof).await?;
                urls.push(((user, item), url));
            }
            Ok::<_, Error>(urls)
        });
    }
    let mut urls = HashMap::with_capacity(wishes.len());
    while let Some(done) = tasks.join_next().await {
        urls.extend(done.map_err(|error| Error::Server(format!("a page failed: {error}")))??);
    }
    Ok(urls)
}

/// What a buyer's page does.
struct Page {
    link: Link,
    host: String,
}

impl Page {
    async fn buy_url(
        &mut self,
        crowd: &Crowd,
        user: u32,
        item: u32,
        with_proof: bool,
    ) -> Result<Uri> {
        let item = format!("/api/v1/items/{}", crowd.item_ids()[item as usize]);
        let bearer = format!("Bearer {}", crowd.token(user));
        let mut body = Value::Null;
        if with_proof {
            let path = format!("{item}/challenge");
            let challenge = self.call(Method::GET, &path, &bearer, &Value::Null).await?;
            // Solving takes a while, and others wait for this thread.
            let solution = tokio::task::spawn_blocking(move || harness::proof::solve(&challenge));
            let solution = solution.await.map_err(|error| Error::Server(error.to_string()))?;
            body = json!({ "challenge": solution });
        }
        let path = format!("{item}/buy-token");
        let issued = self.call(Method::POST, &path, &bearer, &body).await?;
        let url = issued.get("buy_url").and_then(Value::as_str).unwrap_or_default();
        url.parse().map_err(|_| Error::Server(format!("no buy_url in {issued}")))
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        bearer: &str,
        body: &Value,
    ) -> Result<Value> {
        let name = format!("{method} {path}");
        let lost = |reason: String| Error::NoAnswer { request: name.clone(), reason };
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        request = request.header(AUTHORIZATION, bearer);
        let mut bytes = Bytes::new();
        if !body.is_null() {
            request = request.header(CONTENT_TYPE, "application/json");
            bytes = Bytes::from(body.to_string());
        }
        let request = request.body(Full::new(bytes)).map_err(|error| lost(error.to_string()))?;
        let head = self.link.send(request).await.map_err(|failure| lost(format!("{failure:?}")))?;
        let body = self.link.body();
        if !(200..300).contains(&head.status) {
            let body = String::from_utf8_lossy(body).into_owned();
            return Err(Error::Answer { request: name, status: head.status, body });
        }
        serde_json::from_slice(body).map_err(|error| lost(error.to_string()))
    }
}
