//! Who a browser's visitor is: where browsers find this shop, the cookies that it gives them, and which
//! requests with a cookie are believed; and for operators their one-time links and their sessions.
//!
//! Must not know any route.

pub mod cookie;
pub mod link;
pub mod operators;
pub mod origin;
pub mod site;
