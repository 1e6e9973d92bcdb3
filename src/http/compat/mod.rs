//! `POST /orderservice/order/pay`: the one request of an older order service, word for word, for clients
//! that were written for it.
//!
//! Owns that service's envelope, its codes and its notion of a user. Buys through the function that every
//! interface calls. Must not decide anything about a purchase that the others do not.

pub mod options;

use super::address;
use super::admit;
use super::auth::bearer;
use super::auth::token::Principal;
use super::edge::connection::Connection;
use super::payments::decisions;
use super::problem::{Code, Problem};
use super::purchase::{self, Asked, Bought, Caller};
use super::request::{body, json};
use super::state::Edge;
use crate::actors::{KeyOrigin, Reply};
use crate::telemetry::traces::TraceContext;
use bytes::Bytes;
use domain::{Command, ItemId, Order, OrderId, OrderStatus, Outcome, Refusal, RequestId, UserId};
use hyper::body::Body;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode, Version};
use options::{CompatOptions, Settle};
use std::fmt::Write as _;

/// The path, of which clients know the host alone.
const PATH: &str = "/orderservice/order/pay";
/// The header that says who calls.
const USER_TOKEN: &str = "usertoken";
/// The most orders of a buyer that are looked at for one that is alive. Each that is dead has named the
/// request after it, and a buyer who let so many go is told that this was enough.
const ORDERS_FOLLOWED_MAX: usize = 8;
/// Longer than any name: one that is longer is none.
const USER_NAME_BYTES_MAX: usize = 128;

/// What the content is, in the older service's spelling.
pub const CONTENT_TYPE: &str = "application/json;charset=UTF-8";

/// How an outcome is told: the envelope's code and message, and the status that carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    code: &'static str,
    message: &'static str,
    /// The status of the answer: what a client cannot mend by reading `code` has its own.
    pub status: StatusCode,
}

const PLACED: Told = Told { code: "0", message: "下单成功", status: StatusCode::OK };

/// Returns how the older service's clients are served, if this is a request of one.
pub fn options_for<'a, B>(edge: &'a Edge, request: &Request<B>) -> Option<&'a CompatOptions> {
    let options = edge.options.compat.as_ref()?;
    (request.method() == Method::POST && request.uri().path() == PATH).then_some(options)
}

/// Buys one unit for the caller.
///
/// # Errors
/// Returns a problem as a purchase of any interface does.
pub async fn pay<B>(
    edge: &Edge,
    options: &CompatOptions,
    (connection, trace): (&Connection, Option<&TraceContext>),
    request: Request<B>,
) -> Result<Bought, Problem>
where
    B: Body<Data = Bytes>,
{
    let (parts, body) = request.into_parts();
    let address = address::client_of(edge, connection, &parts.headers);
    admit::purchase_from(edge, address)?;
    let (user_id, trusted_name) = caller(edge, options, &parts.headers).await?;
    admit::purchase_of(edge, user_id, address)?;
    let bytes_max = edge.live_options.buy_body_bytes_max();
    let body = if parts.version == Version::HTTP_2 {
        body::read(body, bytes_max, edge.options.body_timeout).await?
    } else {
        body::read_swept(body, bytes_max, connection).await?
    };
    json::require_json(&parts.headers)?;
    let named = user_name(&body)?;
    let is_another = match trusted_name {
        Some(name) => name != named,
        // The token says who calls. A name of which nothing is known contradicts nothing.
        None => options.users.get(&named).is_some_and(|named| *named != user_id),
    };
    if is_another {
        return Err(Problem::new(Code::Forbidden, "userName is not the caller's"));
    }
    buy(edge, options, Caller { user_id }, trace).await
}

/// Returns who calls, and the name if that is all that says so.
async fn caller<'a>(
    edge: &Edge,
    options: &CompatOptions,
    headers: &'a HeaderMap,
) -> Result<(UserId, Option<&'a str>), Problem> {
    let mut tokens = headers.get_all(USER_TOKEN).iter();
    let token = tokens.next().and_then(|token| std::str::from_utf8(token.as_bytes()).ok());
    let Some(token) = token.map(str::trim).filter(|token| !token.is_empty()) else {
        return Err(Problem::new(Code::Unauthenticated, "send a userToken header"));
    };
    if tokens.next().is_some() {
        return Err(Problem::new(Code::BadRequest, "send one userToken header"));
    }
    if options.trusts_user_names
        && let Some(user_id) = options.users.get(token)
    {
        return Ok((*user_id, Some(token)));
    }
    match bearer::accept(edge, token).await? {
        Principal::Buyer(user_id) => Ok((user_id, None)),
        Principal::Operator { .. } => {
            Err(Problem::new(Code::Unauthenticated, "the userToken is an operator's"))
        }
    }
}

/// Returns the name in the body. The older service read past fields that it did not know.
fn user_name(body: &[u8]) -> Result<String, Problem> {
    let mut body = json::parse_object(body)?;
    match body.remove("userName") {
        Some(serde_json::Value::String(name)) if name.len() <= USER_NAME_BYTES_MAX => Ok(name),
        _ => Err(Problem::field("/userName", "must be a name")),
    }
}

/// Buys one unit, and settles its order. A repeat gets the order that the buyer has; only one that is dead
/// makes room for another.
async fn buy(
    edge: &Edge,
    options: &CompatOptions,
    caller: Caller,
    trace: Option<&TraceContext>,
) -> Result<Bought, Problem> {
    let item = purchase::item(edge, Some(options.item_id)).await?;
    let mut dead = None;
    for _ in 0..ORDERS_FOLLOWED_MAX {
        let request_id = request_id(options.item_id, caller.user_id, dead);
        let key = (request_id, KeyOrigin::Client);
        let asked = Asked { item: item.clone(), quantity: 1, key, token: None, trace };
        let bought = purchase::run(edge, caller, asked).await?;
        let order = match options.settle {
            Settle::Paid => settled(edge, bought.order).await?,
            Settle::Reserved => bought.order,
        };
        match order.status {
            OrderStatus::Reserved | OrderStatus::Paid => return Ok(Bought { order, ..bought }),
            OrderStatus::Cancelled | OrderStatus::Expired | OrderStatus::RefundDue => {
                dead = Some(order.order_id);
            }
        }
    }
    Err(Problem::new(Code::AttemptsExhausted, "this buyer has let too many orders go"))
}

/// Pays an order in the sandbox, if it waits for its money.
async fn settled(edge: &Edge, order: Order) -> Result<Order, Problem> {
    if order.status != OrderStatus::Reserved {
        return Ok(order);
    }
    let Order { order_id, user_id, .. } = order;
    match edge.engine.decide_order(order_id, Command::Pay { order_id, user_id }).await {
        Reply::Decided(Outcome::Order(paid)) => {
            decisions::count_paid(edge, &paid);
            Ok(paid)
        }
        Reply::Decided(Outcome::Payment(paid)) => Ok(paid.order),
        // Its shard has released it since: it is as it was stored.
        Reply::Decided(Outcome::Refused(Refusal::OrderNotFound)) => Ok(order),
        // It ended meanwhile.
        Reply::Decided(Outcome::Refused(Refusal::OrderClosed(ended))) => Ok(ended),
        Reply::Decided(Outcome::Refused(refusal)) => Err(refusal.into()),
        Reply::NotDelivered(reason) => Err(reason.into()),
        // No other outcome belongs to a payment.
        Reply::Decided(
            Outcome::Placed(_)
            | Outcome::Replayed(_)
            | Outcome::Item(_)
            | Outcome::ItemReplayed(_)
            | Outcome::Transferred(_),
        )
        | Reply::Unknown => Err(Problem::outcome_unknown()),
    }
}

/// The request's identity among its buyer's: the same for every repeat, so that a client which knows no
/// `Idempotency-Key` cannot buy twice. After a dead order, which its buyer may replace, it is another one.
fn request_id(item_id: ItemId, user_id: UserId, dead: Option<OrderId>) -> RequestId {
    let mut name = [0; PATH.len() + 16];
    let (path, numbers) = name.split_at_mut(PATH.len());
    path.copy_from_slice(PATH.as_bytes());
    numbers[..8].copy_from_slice(&item_id.0.to_be_bytes());
    numbers[8..].copy_from_slice(&dead.map_or(0, |order_id| order_id.0).to_be_bytes());
    RequestId(xxhash_rust::xxh3::xxh3_64_with_seed(&name, user_id.0).max(1))
}

/// Returns how a problem is told.
pub fn told(problem: &Problem) -> Told {
    let (code, message) = match problem.code {
        Code::Unauthenticated => ("1001", "用户不存在或未登录"),
        Code::Forbidden => ("1002", "用户名与登录用户不符"),
        Code::SoldOut => ("2001", "已抢光"),
        Code::LimitReached | Code::AttemptsExhausted | Code::IdempotencyKeyReused => {
            ("2002", "重复下单")
        }
        // An item that is not on sale yet has no gate.
        Code::SaleNotStarted | Code::ItemNotFound => ("2003", "活动未开始"),
        Code::SaleEnded => ("2004", "活动已结束"),
        Code::SalePaused => ("2005", "活动已暂停"),
        Code::OutcomeUnknown => ("5031", "结果未知，请重新提交"),
        code => match code.status() {
            StatusCode::FORBIDDEN => ("2007", "未获准购买"),
            StatusCode::TOO_MANY_REQUESTS => ("4290", "请求过于频繁，请稍后再试"),
            StatusCode::SERVICE_UNAVAILABLE => ("5030", "系统繁忙，请稍后再试"),
            _ => ("2006", "请求有误"),
        },
    };
    // Clients read the code of what is told with 200. Proxies, and libraries that retry by
    // status, need these.
    let status = match problem.code.status() {
        status @ (StatusCode::UNAUTHORIZED
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE) => status,
        _ => StatusCode::OK,
    };
    Told { code, message, status }
}

/// Returns the envelope of a refusal.
pub fn render_refusal(edge: &Edge, told: Told) -> Bytes {
    envelope(told, edge.engine.now().0, "null")
}

/// Returns the envelope of an order. The older service's order ids have 32 hexadecimal digits: the last 16
/// of these are the order's number.
pub fn render_order(edge: &Edge, order: &Order) -> Bytes {
    let mut data = String::with_capacity(80);
    // Writing to a string cannot fail.
    let _ = write!(data, r#"{{"id":"{:032x}","userid":"{}"}}"#, order.order_id.0, order.user_id);
    envelope(PLACED, edge.engine.now().0, &data)
}

fn envelope(told: Told, timestamp: u64, data: &str) -> Bytes {
    let Told { code, message, .. } = told;
    let text =
        format!(r#"{{"code":"{code}","msg":"{message}","timestamp":{timestamp},"data":{data}}}"#);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_an_envelope() {
        for (code, expected, status) in [
            (Code::Unauthenticated, "1001", 401),
            (Code::Forbidden, "1002", 200),
            (Code::SoldOut, "2001", 200),
            (Code::LimitReached, "2002", 200),
            (Code::AttemptsExhausted, "2002", 200),
            (Code::ItemNotFound, "2003", 200),
            (Code::SaleNotStarted, "2003", 200),
            (Code::SaleEnded, "2004", 200),
            (Code::SalePaused, "2005", 200),
            (Code::MalformedJson, "2006", 200),
            (Code::BodyTooLarge, "2006", 200),
            (Code::UnsupportedMediaType, "2006", 200),
            (Code::RequestTimeout, "2006", 200),
            (Code::TooManyEventStreams, "4290", 429),
            (Code::Overloaded, "5030", 503),
            (Code::JournalDamaged, "5030", 503),
            (Code::ItemQuarantined, "5030", 503),
            (Code::ShuttingDown, "5030", 503),
            (Code::OutcomeUnknown, "5031", 503),
        ] {
            let told = told(&Problem::new(code, ""));
            assert_eq!((told.code, told.status.as_u16()), (expected, status), "{code:?}");
        }
        for code in Code::ALL {
            let told = told(&Problem::new(*code, ""));
            let text = envelope(told, 1_557_127_591_533, "null");
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_ne!(json["code"], "0", "{code:?}");
            assert!(json["data"].is_null());
        }
    }

    #[test]
    fn the_envelope_is_the_older_services_byte_for_byte() {
        let data = r#"{"id":"9f361c558cb340f0aa76449fa0c4a8f0","userid":"1"}"#;
        let expected = r#"{"code":"0","msg":"下单成功","timestamp":1557127591533,"data":{"id":"9f361c558cb340f0aa76449fa0c4a8f0","userid":"1"}}"#;
        assert_eq!(envelope(PLACED, 1_557_127_591_533, data), expected.as_bytes());
    }

    #[test]
    fn a_repeat_is_the_same_request_until_its_order_is_dead() {
        let (item, user) = (ItemId(1), UserId(1));
        let first = request_id(item, user, None);
        assert_eq!(first, request_id(item, user, None));
        for other in [
            request_id(ItemId(2), user, None),
            request_id(item, UserId(2), None),
            request_id(item, user, Some(OrderId(7))),
            request_id(item, user, Some(OrderId(8))),
        ] {
            assert_ne!(other, first);
        }
    }

    #[test]
    fn names_are_read_past_what_is_not_known() {
        for (body, expected) in [
            (r#"{"userName":"zhangsan"}"#, Some("zhangsan")),
            (r#"{"userName":"张三","goodsId":7,"extra":{"a":[1]}}"#, Some("张三")),
            (r#"{"userName":""}"#, Some("")),
            (r#"{"username":"zhangsan"}"#, None),
            (r#"{"userName":1}"#, None),
            (r#"{"userName":null}"#, None),
            (r#"{"userName":"a","userName":"b"}"#, None),
            (r#"["zhangsan"]"#, None),
            ("", None),
        ] {
            assert_eq!(user_name(body.as_bytes()).ok().as_deref(), expected, "{body}");
        }
        let long = format!(r#"{{"userName":"{}"}}"#, "x".repeat(USER_NAME_BYTES_MAX + 1));
        assert!(user_name(long.as_bytes()).is_err());
    }
}
