//! A buyer's orders: the service `Orders`.

use super::call::Call;
use super::sales::page_query;
use super::status::{self, tell};
use super::view;
use crate::http::admit;
use crate::http::api::order_events::{Change, OrderEvents};
use crate::http::api::{buy, buy_tokens, orders};
use crate::http::edge::purchasing::Purchasing;
use crate::http::edge::traced::Interface;
use crate::http::limits::Standing;
use crate::http::payments::pay;
use crate::http::problem::{Code, Problem};
use crate::http::purchase::{self, Asked, Bought, Caller};
use crate::http::request::idempotency_key;
use crate::http::state::Edge;
use domain::{ItemId, Order, OrderId};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use hyper::HeaderMap;
use proto::v1;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Sleep;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Longer than any stream lives.
const NEVER: Duration = Duration::from_secs(24 * 3_600);

/// What a buyer does with orders.
#[derive(Debug)]
pub struct Orders(Arc<Edge>);

impl Orders {
    /// Makes the service over the edge's state.
    pub fn new(edge: &Arc<Edge>) -> Self {
        Self(Arc::clone(edge))
    }

    async fn challenge(
        &self,
        request: Request<v1::GetChallengeRequest>,
    ) -> Result<v1::GetChallengeResponse, Problem> {
        let edge = &*self.0;
        let (call, v1::GetChallengeRequest { item_id }) = Call::split(request);
        let (user_id, address) = (call.buyer(edge).await?, call.address(edge));
        let given = buy_tokens::challenge_for(edge, user_id, address, ItemId(item_id)).await?;
        let challenge = serde_json::to_string(&given).unwrap_or_default();
        Ok(v1::GetChallengeResponse { challenge })
    }

    async fn token(
        &self,
        request: Request<v1::GetBuyTokenRequest>,
    ) -> Result<v1::BuyToken, Problem> {
        let edge = &*self.0;
        let (call, message) = Call::split(request);
        let v1::GetBuyTokenRequest { item_id, challenge, idempotency_key } = message;
        let (user_id, address) = (call.buyer(edge).await?, call.address(edge));
        let asked = buy_tokens::Asked {
            item_id: ItemId(item_id),
            user_id,
            address,
            key: idempotency_key::of_message(&idempotency_key, user_id, call.about.number)?,
            solution: buy_tokens::solution((!challenge.is_empty()).then_some(challenge))?,
        };
        let given = buy_tokens::give(edge, asked).await?;
        Ok(v1::BuyToken {
            token: given.text,
            opens_at: Some(view::time(given.token.opens_at)),
            expires_at: Some(view::time(given.token.expires_at)),
        })
    }

    async fn decide(
        &self,
        call: &Call,
        message: &v1::BuyRequest,
        purchasing: &Purchasing,
        standing: &mut Option<Standing>,
    ) -> Result<Bought, Problem> {
        let edge = &*self.0;
        let address = call.address(edge);
        let of_address = admit::purchase_from(edge, address)?;
        let user_id = call.buyer(edge).await?;
        *standing = Standing::tighter(of_address, admit::purchase_of(edge, user_id, address)?);
        let item = purchase::item(edge, Some(ItemId(message.item_id))).await?;
        let quantity = buy::quantity_of(message.quantity)?;
        let key =
            idempotency_key::of_message(&message.idempotency_key, user_id, call.about.number)?;
        let token = Some(message.buy_token.as_str()).filter(|token| !token.is_empty());
        let asked = Asked { item, quantity, key, token, trace: purchasing.trace() };
        purchase::run(edge, Caller { user_id }, asked).await
    }

    async fn one(&self, request: Request<v1::GetOrderRequest>) -> Result<v1::Order, Problem> {
        let (call, v1::GetOrderRequest { order_id }) = Call::split(request);
        let user_id = call.buyer(&self.0).await?;
        let order = orders::find(&self.0, OrderId(order_id), user_id).await?;
        Ok(view::order(&order))
    }

    async fn list(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<v1::ListOrdersResponse, Problem> {
        let (call, v1::ListOrdersRequest { limit, starting_after }) = Call::split(request);
        let user_id = call.buyer(&self.0).await?;
        let (limit, before) = page_query(limit, starting_after).read::<OrderId>()?;
        let page = orders::page_of(&self.0, user_id, before, limit).await?;
        Ok(v1::ListOrdersResponse {
            orders: page.orders.iter().map(view::order).collect(),
            has_more: page.has_more,
            complete: page.is_complete,
        })
    }

    async fn settle(&self, request: Request<v1::PayRequest>) -> Result<v1::Order, Problem> {
        let (call, v1::PayRequest { order_id, idempotency_key }) = Call::split(request);
        let user_id = call.buyer(&self.0).await?;
        let key = idempotency_key::of_message(&idempotency_key, user_id, call.about.number)?;
        let edge = Arc::clone(&self.0);
        let paid = pay::pay(edge, user_id, OrderId(order_id), key, None).await?;
        let payment_url = paid.onward.map(|onward| onward.url);
        Ok(v1::Order { payment_url, ..view::order(&paid.order) })
    }

    async fn give_up(&self, request: Request<v1::CancelRequest>) -> Result<v1::Order, Problem> {
        let (call, v1::CancelRequest { order_id }) = Call::split(request);
        let user_id = call.buyer(&self.0).await?;
        let order = orders::cancel_at_once(&self.0, user_id, OrderId(order_id)).await?;
        Ok(view::order(&order))
    }

    async fn follow(
        &self,
        request: Request<v1::WatchOrderRequest>,
    ) -> Result<BoxStream<'static, Result<v1::Order, Status>>, Problem> {
        let (call, v1::WatchOrderRequest { order_id }) = Call::split(request);
        let session = call.session(&self.0).await?;
        let begun = OrderEvents::find(&self.0, session, OrderId(order_id)).await?;
        let events = begun.open(&call.about.connection)?;
        let end = tokio::time::sleep(call.about.ends_after.unwrap_or(NEVER).min(NEVER));
        let begun = Some((events, Box::pin(end)));
        let changes = stream::unfold(begun, |followed| async move {
            let (mut events, mut end) = followed?;
            match next_order(&mut events, &mut end).await? {
                Ok(order) => Some((Ok(view::order(&order)), Some((events, end)))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(changes.boxed())
    }
}

/// Returns the order with its next change; none once it is reserved no longer.
///
/// # Errors
/// Returns why nothing more is told of an order that is: the caller's time or session is over, or the server stops.
async fn next_order(
    events: &mut OrderEvents,
    end: &mut Pin<Box<Sleep>>,
) -> Option<Result<Order, Status>> {
    let ended = |code, why| Some(Err(status::of(&Problem::new(code, why))));
    loop {
        let change = tokio::select! {
            // The last change is told to whom it has reached in time.
            biased;
            change = events.next() => change,
            () = &mut *end => {
                return Some(Err(Status::deadline_exceeded("the order is reserved still")));
            }
        };
        match change {
            Some(Change::Order(order)) => return Some(Ok(order)),
            Some(Change::None) => {}
            Some(Change::SessionOver(why)) => return ended(Code::Unauthenticated, why),
            None if events.is_complete() => return None,
            None => {
                let why = "no more is told of the order here: watch it again";
                return ended(Code::ShuttingDown, why);
            }
        }
    }
}

#[tonic::async_trait]
impl v1::orders_server::Orders for Orders {
    async fn get_challenge(
        &self,
        request: Request<v1::GetChallengeRequest>,
    ) -> Result<Response<v1::GetChallengeResponse>, Status> {
        let given = self.challenge(request).await;
        self.0.metrics.challenged(given.is_ok());
        tell(&self.0, given)
    }

    async fn get_buy_token(
        &self,
        request: Request<v1::GetBuyTokenRequest>,
    ) -> Result<Response<v1::BuyToken>, Status> {
        let issued = self.token(request).await;
        self.0.metrics.token_asked(issued.is_ok());
        tell(&self.0, issued)
    }

    async fn buy(
        &self,
        request: Request<v1::BuyRequest>,
    ) -> Result<Response<v1::BuyResponse>, Status> {
        let (call, message) = Call::split(request);
        let purchasing =
            Purchasing::begin(&self.0, call.about.number, Interface::Grpc, call.headers());
        let mut standing = None;
        let outcome = self.decide(&call, &message, &purchasing, &mut standing).await;
        purchasing.end(&self.0, Some(ItemId(message.item_id)), outcome.as_ref());
        match outcome {
            Ok(Bought { order, replayed }) => {
                let order = Some(view::order(&order));
                let mut response = Response::new(v1::BuyResponse { order, replayed });
                if let Some(standing) = standing {
                    let mut headers = HeaderMap::new();
                    standing.tell(&mut headers);
                    *response.metadata_mut() = MetadataMap::from_headers(headers);
                }
                Ok(response)
            }
            Err(mut problem) => {
                problem.standing = problem.standing.or_else(|| standing.map(Box::new));
                Err(status::of(&problem))
            }
        }
    }

    async fn get_order(
        &self,
        request: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::Order>, Status> {
        tell(&self.0, self.one(request).await)
    }

    async fn list_orders(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<v1::ListOrdersResponse>, Status> {
        tell(&self.0, self.list(request).await)
    }

    async fn pay(&self, request: Request<v1::PayRequest>) -> Result<Response<v1::Order>, Status> {
        tell(&self.0, self.settle(request).await)
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::Order>, Status> {
        tell(&self.0, self.give_up(request).await)
    }

    type WatchOrderStream = BoxStream<'static, Result<v1::Order, Status>>;

    async fn watch_order(
        &self,
        request: Request<v1::WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        tell(&self.0, self.follow(request).await)
    }
}
