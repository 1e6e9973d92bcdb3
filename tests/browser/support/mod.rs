//! What browser tests share: a shop (a process of the program), and browsers to look at it with.

mod browser;
mod shop;

pub use browser::{Browser, Screen, in_browser};
pub use shop::{Running, Shop, in_seconds, offer};
