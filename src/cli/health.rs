//! `seckill health`: whether the shop on this machine sells, as an exit code, for a container's health check.
//!
//! Asks the operations listener, which answers however many buyers there are.

use super::client::{Client, ClientError};
use super::failure::{Exit, Failure};
use crate::config::Config;
use std::io::Write;

/// What a shop answers that does not sell.
const NOT_READY: u16 = 503;

/// Prints how ready the shop is: `ok`, or `degraded` if it sells and wants looking after.
///
/// # Errors
/// Returns [`Failure`] if it does not sell, or does not answer.
pub fn run(config: &Config, output: &mut impl Write) -> Result<(), Failure> {
    let shop = Client::at("operations.listen", config.operations.listen)?;
    let ready = shop.look("/readyz").map_err(not_ready)?;
    writeln!(output, "{}", ready.trim_end())?;
    Ok(())
}

fn not_ready(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status: NOT_READY, detail, .. } => Failure {
            exit: Exit::Broken,
            what: format!("the shop says that it is {detail}"),
            meaning: "it does not sell for now; confirmed orders are on record".to_owned(),
            remedy: "ask its operations listener for `/readyz?verbose`, which says why".to_owned(),
        },
        error => Failure {
            exit: Exit::Fault,
            what: format!("the shop cannot be asked: {error}"),
            meaning: "it does not serve, or still recovers, or listens elsewhere".to_owned(),
            remedy: "look at its log; operations.listen must be the same here as where it serves"
                .to_owned(),
        },
    }
}
