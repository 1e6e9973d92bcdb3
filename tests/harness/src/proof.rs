//! Solves a proof of work as a buyer's device does, by another implementation of its format.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The payload that solves a challenge, as the widget sends it.
///
/// # Panics
/// If the challenge is not one.
pub fn solve(challenge: &Value) -> String {
    let parsed: altcha::Challenge = serde_json::from_value(challenge.clone()).expect("a challenge");
    let solution = altcha::solve_challenge(altcha::SolveChallengeOptions::new(&parsed))
        .expect("a challenge that can be solved")
        .expect("a solution in time");
    STANDARD.encode(json!({ "challenge": challenge, "solution": solution }).to_string())
}
