//! `GET /console/live`: the live figures as server-sent events, for those who may see the console.
//!
//! First the history of the range that is asked for, then a look each second. An event's identity is its
//! second, so that a browser that comes back is sent the seconds that it missed and no more. The stream
//! ends when the server drains, and with the next look once who watches would not be let in any more.

use super::board::Viewer;
use super::look::render_history;
use super::ring::Range;
use crate::http::api::event_streams::{self, last_event};
use crate::http::edge::connection::{Connection, EventStreamGuard};
use crate::http::pages::console::viewer::MayWatch;
use crate::http::problem::Problem;
use crate::http::state::Edge;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use hyper::Uri;
use hyper::header::HeaderMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The header with the identity of the last event that a client has.
const LAST_EVENT_ID: &str = "last-event-id";

/// Sends the figures.
///
/// # Errors
/// Returns a problem if the range is none, or as many watch as may.
pub async fn watch(
    State(edge): State<Arc<Edge>>,
    who: MayWatch,
    uri: Uri,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let range = range(&uri)?;
    let after = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse().ok());
    // Watched first, so that no second falls between the history and the first look.
    let viewer = edge.board.watch()?;
    let now = u32::try_from(edge.engine.now().0 / 1_000).unwrap_or(u32::MAX);
    let history = edge.board.rings.lock().history(range, now, after);
    let mut first = b"event: history\ndata: ".to_vec();
    first.extend_from_slice(&render_history(&history));
    first.extend_from_slice(b"\n\n");
    if let Some(update) = edge.board.latest() {
        first.extend_from_slice(&update.event);
    }
    let events = Events {
        first: Some(first.into()),
        viewer,
        who,
        is_over: false,
        shutdown: edge.shutdown.clone(),
        edge,
        _on: connection.begin_event_stream(),
    };
    let events = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((event, events))
    });
    Ok(event_streams::answer(events))
}

/// The range that the query asks for; five minutes if it asks for none.
fn range(uri: &Uri) -> Result<Range, Problem> {
    let query = uri.query().unwrap_or_default();
    let pair = query.split('&').find_map(|pair| pair.strip_prefix("range="));
    let Some(name) = pair else { return Ok(Range::FiveMinutes) };
    Range::from_name(name).ok_or_else(|| Problem::field("range", "must be 5m, 1h or 24h"))
}

struct Events {
    first: Option<Bytes>,
    viewer: Viewer,
    who: MayWatch,
    /// Whether who watches was told not to be let in any more.
    is_over: bool,
    edge: Arc<Edge>,
    shutdown: CancellationToken,
    _on: EventStreamGuard,
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.is_over {
            return None;
        }
        let update = tokio::select! {
            () = self.shutdown.cancelled() => None,
            update = self.viewer.next() => update,
        }?;
        if let Err(problem) = self.who.check_again(&self.edge).await {
            self.is_over = true;
            return Some(last_event(problem.code, &problem.detail));
        }
        Some(update.event.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_the_range() {
        for (path, expected) in [
            ("/console/live", Some(Range::FiveMinutes)),
            ("/console/live?range=1h", Some(Range::Hour)),
            ("/console/live?a=b&range=24h", Some(Range::Day)),
            ("/console/live?range=", None),
            ("/console/live?range=7d", None),
        ] {
            assert_eq!(range(&Uri::from_static(path)).ok(), expected, "{path}");
        }
    }
}
