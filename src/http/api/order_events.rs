//! `GET /api/v1/orders/{order}/events`: each change of an order, as server-sent events and as what other
//! interfaces make of it.
//!
//! The order comes first as it is, then after each durable change. The stream ends when the order can
//! no longer change, when the session that it was opened with is over, when the server drains, or when the
//! client closes the connection. Each event is
//! identified by the order's status, which an order has once at most: a browser that comes back with the
//! last status there is gets a 204, and does not come again.

use super::event_streams::{self, OpenEventStream, last_event};
use super::order_view::{self, OrderView};
use super::orders;
use crate::actors::{ChangesMissed, OrderChanges};
use crate::http::auth::bearer::BuyerSession;
use crate::http::edge::connection::{Connection, EventStreamGuard};
use crate::http::problem::{Code, Problem};
use crate::http::request::path::Id;
use crate::http::state::Edge;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::{Order, OrderId, OrderStatus};
use futures_util::stream;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const HEARTBEAT: &[u8] = b":\n\n";
/// The time between two looks whether this node still has an order's shard, and at an order whose node does not tell
/// of it.
const LOOK: Duration = Duration::from_secs(1);
/// How long another node is asked to wait for a change. A client that goes is not waited for longer than that.
const WATCH: Duration = Duration::from_secs(10);
/// The header with the identity of the last event that a client has.
const LAST_EVENT_ID: &str = "last-event-id";

/// Follows an order's changes.
///
/// A stream of server-sent events, each named `order` with the order as its data: first as it is,
/// then after each change. It ends when the order can no longer change, and may be opened again at
/// any time. It ends with your token, too: with an event named `end` whose data has a problem's `code` and
/// `detail`. An order event's identity is the order's status; who sends the last one as `Last-Event-ID`, as
/// browsers do by themselves, is told with 204 that nothing more will come.
#[utoipa::path(
    get, path = "/api/v1/orders/{order}/events", tag = "orders",
    params(
        Id::<OrderId>,
        ("Last-Event-ID" = Option<String>, Header, example = "reserved",
            description = "The identity of the last event that the client has"),
    ),
    responses(
        (status = 204, description = "The client knows the order's last status"),
        (status = 429, description = "`too_many_event_streams`: close another of yours"),
        (status = 200, description = "The stream", content_type = "text/event-stream",
            body = String, example = json!(example_event())),
        (status = 503, description = "`overloaded`: too many event streams are open"),
    ),
    security(("token" = []))
)]
pub async fn watch(
    State(edge): State<Arc<Edge>>,
    session: BuyerSession,
    Id(order_id): Id<OrderId>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let begun = OrderEvents::find(&edge, session, order_id).await?;
    let status = begun.order.status;
    let is_known = headers.get(LAST_EVENT_ID).is_some_and(|known| known == status.name());
    if is_known && is_final(status) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = stream::unfold(begun.open(&connection)?, |mut events| async move {
        let event = match events.next().await? {
            Change::Order(order) => render(&order),
            Change::None => Bytes::from_static(HEARTBEAT),
            Change::SessionOver(why) => last_event(Code::Unauthenticated, why),
        };
        Some((event, events))
    });
    Ok(event_streams::answer(events))
}

/// What a stream of an order's changes tells next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The order as it is now.
    Order(Order),
    /// Nothing has changed for a while.
    None,
    /// Nothing more will be told, because the session is over: why.
    SessionOver(&'static str),
}

/// An order whose changes are watched, before they are told.
pub struct Begun {
    order: Order,
    changes: OrderChanges,
    session: BuyerSession,
    edge: Arc<Edge>,
}

impl Begun {
    /// Opens the stream of the changes, over this connection.
    ///
    /// # Errors
    /// Returns a `too_many_event_streams` problem if the buyer has as many as one may have, and an
    /// `overloaded` one if all have.
    pub fn open(self, connection: &Arc<Connection>) -> Result<OrderEvents, Problem> {
        let Self { order, changes, session, edge } = self;
        Ok(OrderEvents {
            next: Some(order),
            shown: None,
            session,
            is_over: false,
            changes,
            shutdown: edge.shutdown.clone(),
            heartbeat: edge.options.event_heartbeat,
            _open: edge.event_streams.open(session.user_id)?,
            _on: connection.begin_event_stream(),
            edge,
        })
    }
}

/// The changes of an order, as they come.
pub struct OrderEvents {
    next: Option<Order>,
    shown: Option<Order>,
    session: BuyerSession,
    /// Whether the client was told that the session is over.
    is_over: bool,
    changes: OrderChanges,
    shutdown: CancellationToken,
    heartbeat: Duration,
    edge: Arc<Edge>,
    _open: OpenEventStream,
    _on: EventStreamGuard,
}

impl OrderEvents {
    /// Begins to watch an order of the session's buyer.
    ///
    /// # Errors
    /// Returns the problems of [`orders::find`].
    pub async fn find(
        edge: &Arc<Edge>,
        session: BuyerSession,
        order_id: OrderId,
    ) -> Result<Begun, Problem> {
        // Watch before reading: a change between the two would be lost otherwise.
        let changes = edge.engine.watch_order(order_id);
        let order = orders::find(edge, order_id, session.user_id).await?;
        Ok(Begun { order, changes, session, edge: Arc::clone(edge) })
    }

    /// Tells the client why its session is over.
    fn end(&mut self, why: &'static str) -> Change {
        self.is_over = true;
        Change::SessionOver(why)
    }

    /// Shows the order as it is now.
    fn show(&mut self, order: Order) -> Change {
        self.shown = Some(order);
        Change::Order(order)
    }

    /// Whether all was told that there is to tell: the order was shown as it stays.
    pub fn is_complete(&self) -> bool {
        self.shown.is_some_and(|shown| is_final(shown.status))
    }

    /// Returns what to tell next, or `None` at the end.
    pub async fn next(&mut self) -> Option<Change> {
        if self.is_over {
            return None;
        }
        if let Some(order) = self.next.take() {
            return Some(self.show(order));
        }
        let shown = self.shown?;
        if is_final(shown.status) {
            return None;
        }
        if let Some(why) = self.session.over(&self.edge) {
            return Some(self.end(why));
        }
        let deadline = tokio::time::sleep(self.heartbeat.min(self.session.left(&self.edge)));
        tokio::pin!(deadline);
        loop {
            let is_elsewhere = !self.edge.engine.serves(shown.order_id.shard());
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = &mut deadline => return Some(match self.session.over(&self.edge) {
                    Some(why) => self.end(why),
                    None => Change::None,
                }),
                order = changed_elsewhere(&self.edge, &shown), if is_elsewhere => {
                    return Some(self.show(order));
                }
                // The shard may go to another node.
                () = tokio::time::sleep(LOOK),
                    if !is_elsewhere && self.edge.engine.is_one_of_several() => {}
                change = self.changes.next() => match change {
                    // The order was first shown with this change already.
                    Ok(Some(order)) if order == shown => {}
                    Ok(Some(order)) => return Some(self.show(order)),
                    // More changes than the channel holds: the order as it is now has all of them.
                    Err(ChangesMissed) => {
                        let order =
                            orders::find(&self.edge, shown.order_id, shown.user_id).await.ok()?;
                        return Some(self.show(order));
                    }
                    Ok(None) => return None,
                },
            }
        }
    }
}

/// Waits until an order whose shard another node serves is not as it was shown. That node tells it; while it does not,
/// because the shard is between two nodes or has come here, the order is looked at again and again.
async fn changed_elsewhere(edge: &Edge, shown: &Order) -> Order {
    loop {
        let told = edge.engine.await_change_elsewhere(shown.order_id, shown.status, WATCH).await;
        match told {
            Ok(Some(order)) if order != *shown => return order,
            Ok(Some(_)) => continue,
            _ => tokio::time::sleep(LOOK).await,
        }
        let found = orders::find(edge, shown.order_id, shown.user_id).await;
        if let Ok(order) = found
            && order != *shown
        {
            return order;
        }
    }
}

/// Returns whether the stream ends with this status. A cancelled or expired order may still be paid
/// for, but a buyer need not wait for that.
fn is_final(status: OrderStatus) -> bool {
    status != OrderStatus::Reserved
}

fn render(order: &Order) -> Bytes {
    let mut event = Vec::with_capacity(order_view::LENGTH_MAX + 32);
    event.extend_from_slice(b"event: order\nid: ");
    event.extend_from_slice(order.status.name().as_bytes());
    event.extend_from_slice(b"\ndata: ");
    order_view::render(order, &mut event);
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}

/// Returns the first event of the example's order.
fn example_event() -> String {
    let order = OrderView::example(OrderStatus::Reserved);
    let data = serde_json::to_string(&order).unwrap_or_default();
    format!("event: order\nid: {}\ndata: {data}\n\n", OrderStatus::Reserved.name())
}
