//! The pages in a real browser: Debian's chromium, driven over WebDriver, against the real program.
//!
//! Passes with a line where chromium or its driver is not installed, unless `SECKILL_REQUIRE_SERVICES=1`.

mod button;
mod console;
mod dashboard;
mod evening;
mod export;
mod journeys;
mod looks;
mod markup;
mod payments;
mod rules;
mod shopping;
mod support;
