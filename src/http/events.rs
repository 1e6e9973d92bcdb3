//! `GET /api/v1/orders/{order}/events`: each change of an order, as server-sent events.
//!
//! The order as it is comes first, then each durable change, and the stream ends when no change can
//! come any more, when the server drains, or when the client goes away.

use super::admission::{Buyer, Id};
use super::edge::Edge;
use super::error::{Code, Problem};
use super::{order_view, orders};
use crate::actors::{ChangesMissed, OrderChanges};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::{Order, OrderId, OrderStatus};
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

const HEARTBEAT: &[u8] = b":\n\n";

/// An order's changes.
#[utoipa::path(
    get, path = "/api/v1/orders/{order}/events", tag = "orders",
    params(("order" = String, Path, description = "The order's identity")),
    responses((status = 200, content_type = "text/event-stream", body = String,
        description = "An event `order` with the order as its data, first as it is and then at \
            each change; ends when the order can no longer change")),
    security(("token" = []))
)]
pub async fn watch(
    State(edge): State<Arc<Edge>>,
    Buyer(user_id): Buyer,
    Id(order_id): Id<OrderId>,
) -> Result<Response, Problem> {
    // Listen first: a change between the look and the listening would be lost.
    let changes = edge.engine.watch_order(order_id);
    let order = orders::find(&edge, order_id, user_id).await?;
    let permit = Arc::clone(&edge.event_streams)
        .try_acquire_owned()
        .map_err(|_| Problem::new(Code::Overloaded, "too many event streams are open"))?;
    let shutdown = edge.shutdown.clone();
    let heartbeat = edge.options.event_heartbeat;
    edge.metrics.event_streams.fetch_add(1, Relaxed);
    let open = OpenStream { edge, _permit: permit };
    let events = Events { next: Some(order), shown: None, changes, shutdown, heartbeat, open };
    let events = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

struct OpenStream {
    edge: Arc<Edge>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.edge.metrics.event_streams.fetch_sub(1, Relaxed);
    }
}

struct Events {
    next: Option<Order>,
    shown: Option<Order>,
    changes: OrderChanges,
    shutdown: CancellationToken,
    heartbeat: Duration,
    open: OpenStream,
}

impl Events {
    /// The next piece of the stream, or its end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(order) = self.next.take() {
            self.shown = Some(order);
            return Some(render(&order));
        }
        let shown = self.shown?;
        if is_final(shown.status) {
            return None;
        }
        let deadline = tokio::time::sleep(self.heartbeat);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = &mut deadline => return Some(Bytes::from_static(HEARTBEAT)),
                change = self.changes.next() => match change {
                    // Shown already, as what the order was at first.
                    Ok(Some(order)) if order == shown => {}
                    Ok(Some(order)) => {
                        self.shown = Some(order);
                        return Some(render(&order));
                    }
                    // More changes than the channel holds: the order itself is the last of them.
                    Err(ChangesMissed) => {
                        let order =
                            orders::find(&self.open.edge, shown.order_id, shown.user_id).await.ok()?;
                        self.shown = Some(order);
                        return Some(render(&order));
                    }
                    Ok(None) => return None,
                },
            }
        }
    }
}

/// Whether nothing can come after this. A cancelled or expired order may still be paid for, but a
/// buyer need not wait for that.
fn is_final(status: OrderStatus) -> bool {
    status != OrderStatus::Reserved
}

fn render(order: &Order) -> Bytes {
    let mut event = Vec::with_capacity(order_view::LENGTH_MAX + 32);
    event.extend_from_slice(b"event: order\ndata: ");
    order_view::render(order, &mut event);
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}
