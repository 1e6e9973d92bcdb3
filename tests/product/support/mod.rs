//! What every test of the product needs: a site with its process, an open sale with its witness, and
//! the audit's verdict.

pub mod collector;
mod crowd;
pub mod hooks;
mod sale;
mod server;
mod site;
mod subscriber;
mod tree;
mod verdict;
mod witness;

pub use crowd::{Crowd, must_sell, sell};
pub use harness::http::Client;
pub use harness::{Random, patiently, until};
pub use sale::{Offer, OpenSale};
pub use server::Server;
pub use site::Site;
pub use subscriber::{Message, Subscriber};
pub use tree::Tree;
pub use verdict::Verdict;
pub use witness::{Attempt, Witness, must_be_unavailable};
