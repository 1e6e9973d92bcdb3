//! Buys one unit over HTTP, repeats the call until its outcome is known, and pays.
//!
//! ```sh
//! cargo run --example buyer -- http://127.0.0.1:8080 ITEM TOKEN
//! ```
//!
//! To copy it: reqwest without default features, serde_json, rand, and tokio with `macros`, `rt` and `time`. TOKEN is a
//! buyer's, from `seckill mint` or from a log-in.

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

const ATTEMPTS_MAX: u32 = 8;

/// A shop as one buyer reaches it.
struct Shop {
    client: Client,
    base: String,
    token: String,
}

/// What became of a request.
enum Outcome {
    /// It was done: the answer, and whether it had been done before.
    Done { answer: Value, was_replayed: bool },
    /// The shop refuses it, with this code.
    Refused(String),
    /// It may have been done: the buyer's orders tell.
    Unknown,
}

impl Shop {
    /// Posts a request until it is answered. The key makes every repetition the same request.
    async fn post(&self, path: &str, body: &'static str, key: &str) -> Outcome {
        for attempt in 0..ATTEMPTS_MAX {
            let sent = self
                .client
                .post(format!("{}/api/v1{path}", self.base))
                .bearer_auth(&self.token)
                .header("content-type", "application/json")
                .header("idempotency-key", key)
                .body(body)
                .send()
                .await;
            // Without an answer it may have been done: the key finds out.
            let mut pause = Duration::from_millis(200 << attempt);
            if let Ok(response) = sent {
                let status = response.status();
                let was_replayed = response.headers().contains_key("idempotent-replayed");
                let retry_after = retry_after(&response);
                let answer = response.bytes().await.ok();
                let answer = answer.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
                match answer {
                    Some(answer) if status.is_success() => {
                        return Outcome::Done { answer, was_replayed };
                    }
                    // These two say when to come back; any other refusal is final.
                    _ if status == StatusCode::TOO_MANY_REQUESTS
                        || status == StatusCode::SERVICE_UNAVAILABLE =>
                    {
                        pause = retry_after.unwrap_or(pause);
                    }
                    // A success whose body was cut short: ask again.
                    None if status.is_success() => {}
                    answer => {
                        let code = answer.as_ref().and_then(|problem| problem["code"].as_str());
                        return Outcome::Refused(code.unwrap_or(status.as_str()).to_owned());
                    }
                }
            }
            eprintln!("again after {pause:?}");
            tokio::time::sleep(pause).await;
        }
        Outcome::Unknown
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A key that no other request of this buyer has; a UUID is as good.
fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The answer, or the end of the program with words.
fn done(outcome: Outcome) -> Result<(Value, bool), ExitCode> {
    match outcome {
        Outcome::Done { answer, was_replayed } => return Ok((answer, was_replayed)),
        Outcome::Refused(code) => eprintln!("refused: {code}"),
        Outcome::Unknown => eprintln!("the outcome is not known: look at the buyer's orders"),
    }
    Err(ExitCode::FAILURE)
}

async fn run(base: String, item: &str, token: String) -> Result<(), ExitCode> {
    let client = Client::builder().timeout(Duration::from_secs(5)).build();
    let client = client.map_err(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })?;
    let shop = Shop { client, base, token };
    let buying = shop.post(&format!("/items/{item}/buy"), r#"{"quantity":1}"#, &new_key()).await;
    let (order, was_replayed) = done(buying)?;
    let order_id = order["order_id"].as_str().unwrap_or_default();
    println!("order {order_id}: {}, replayed: {was_replayed}", order["status"]);
    let paying = shop.post(&format!("/orders/{order_id}/pay"), "{}", &new_key()).await;
    let (order, _) = done(paying)?;
    println!("order {order_id}: {}", order["status"]);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, item, token] = &arguments[..] else {
        eprintln!("usage: buyer http://HOST:PORT ITEM TOKEN");
        return ExitCode::from(2);
    };
    match run(base.clone(), item, token.clone()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}
