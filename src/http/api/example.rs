//! The one sale that the examples of the OpenAPI document are about: tea at ¥9.90 for the first two
//! hours of 双十一, of which one buyer buys a packet.

/// The sale's identity.
pub const SALE_ID: &str = "7";
/// The sale's title.
pub const SALE_TITLE: &str = "双十一";
/// When the sale starts.
pub const STARTS_AT: &str = "2030-11-11T00:00:00.000Z";
/// When tokens for the sale's items are given out from.
pub const TOKENS_FROM: &str = "2030-11-10T23:59:00.000Z";
/// The buyer's token for the sale's item.
pub const BUY_TOKEN: &str = "ngAgEHx0aW1lAAABv8xDKABynXks7V8Tt0GMaK2Wc0uJhR1q";
/// Until when the token buys.
pub const TOKEN_EXPIRES_AT: &str = "2030-11-11T00:05:00.000Z";
/// When the sale is over.
pub const ENDS_AT: &str = "2030-11-11T02:00:00.000Z";
/// The day of the sale.
pub const DAY: &str = "2030-11-11";
/// The identity of the sale's item.
pub const ITEM_ID: &str = "21";
/// The item's product.
pub const PRODUCT_ID: &str = "longjing-250g";
/// The item's title.
pub const ITEM_TITLE: &str = "龙井茶 250g";
/// What is said of the item.
pub const DESCRIPTION: &str = "西湖产区,清明前采摘。";
/// The name of a picture.
pub const PICTURE: &str = "1f2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff001";
/// The price of one unit in fen.
pub const PRICE: u64 = 990;
/// The price of one unit outside of the sale, in fen.
pub const LIST_PRICE: u64 = 4_990;
/// The currency of both prices.
pub const CURRENCY: &str = "CNY";
/// Units that the sale begins with.
pub const ALLOTTED: u32 = 1_000;
/// Units that one buyer may hold.
pub const LIMIT_PER_USER: u16 = 2;
/// How long an order may stay unpaid, in seconds.
pub const PAYMENT_WINDOW_SECONDS: u64 = 600;
/// The buyer's identity.
pub const USER_ID: &str = "1001";
/// The buyer's name.
pub const USER_NAME: &str = "li.na";
/// The identity of the buyer's order, which says when it was placed.
pub const ORDER_ID: &str = "908143992242188288";
/// The identity of the order's payment.
pub const PAYMENT_ID: &str = "908143992242188288-1";
/// The provider that takes the money.
pub const PROVIDER: &str = "mall-pay";
/// The provider's name for the payment.
pub const PAYMENT_REFERENCE: &str = "ch_8f14e45fceea167a";
/// The provider's name for the money's way back.
pub const REFUND_REFERENCE: &str = "re_c9f0f895fb98ab91";
/// When the order was placed.
pub const CREATED_AT: &str = "2030-11-11T00:00:00.250Z";
/// Until when the order can be paid.
pub const EXPIRES_AT: &str = "2030-11-11T00:10:00.250Z";
/// The operator who writes the sale.
pub const OPERATOR: &str = "wang.wei";
/// The operator who approves the sale.
pub const APPROVER: &str = "zhang.min";
/// When the sale was written.
pub const WRITTEN_AT: &str = "2030-11-04T09:30:00.000Z";
/// When the sale was submitted.
pub const SUBMITTED_AT: &str = "2030-11-04T10:00:00.000Z";
/// When the sale was approved.
pub const APPROVED_AT: &str = "2030-11-05T08:15:00.000Z";
