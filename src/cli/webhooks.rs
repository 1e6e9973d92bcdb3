//! `seckill webhooks`: who is told by webhooks what happens, and how that goes.
//!
//! It asks the shop that runs on this machine, as an admin does. Must not know how an event is sent.

use super::failure::{Exit, Failure};
use super::running::RunningShop;
use crate::config::Config;
use serde_json::{Value, json};
use std::io::{self, Write};

const WEBHOOKS: &str = "/api/v1/admin/webhooks";

/// The commands about webhooks.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum WebhooksCommand {
    /// Show the endpoints: their state, what waits for each, and where it is
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make an endpoint, and print its secret, which is shown this once; it is told nothing until `enable`
    Create {
        /// Where its events are to be sent
        url: String,
        /// A type of events that it is told, such as `seckill.order.paid`; may be repeated. Without one, all
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// What it is, for people
        #[arg(long)]
        description: Option<String>,
    },
    /// Ping an endpoint and, once it has answered, tell it what happens
    Enable(EndpointArgument),
    /// Tell an endpoint nothing more
    Disable(EndpointArgument),
    /// Give an endpoint another secret, and print it; for 24 h the one of before signs, too
    Rotate(EndpointArgument),
    /// Ping an endpoint, whatever its state, and say what became of that
    Test(EndpointArgument),
    /// Show the latest attempts to tell an endpoint, newest first
    Deliveries {
        /// The endpoint's identity
        endpoint: u64,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        /// Show at most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100))]
        limit: u64,
    },
    /// Tell an endpoint again what has happened since a time, or one event that waits or is parked
    Replay {
        /// The endpoint's identity
        endpoint: u64,
        /// Since when, such as 2030-11-11T00:00:00Z
        #[arg(
            long,
            value_name = "TIME",
            required_unless_present = "event",
            conflicts_with = "event"
        )]
        from: Option<String>,
        /// The event's identity; the later ones of its order come with it
        #[arg(long, value_name = "ID")]
        event: Option<String>,
    },
}

/// Which endpoint is meant.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct EndpointArgument {
    /// The endpoint's identity
    endpoint: u64,
}

/// Shows or changes the endpoints of the shop that runs with this configuration.
///
/// # Errors
/// Returns [`Failure`] if no shop answers there, it refuses, or a ping was not taken.
pub fn run(
    config: &Config,
    command: &WebhooksCommand,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let shop = RunningShop::of(config)?;
    match command {
        WebhooksCommand::List { json } => {
            print_list(&data(shop.look(WEBHOOKS)?), *json, output)?;
        }
        WebhooksCommand::Create { url, types, description } => {
            let body = json!({ "url": url, "types": types, "description": description });
            print_secret(&shop.ask("POST", WEBHOOKS, Some(&body))?, output)?;
        }
        WebhooksCommand::Enable(EndpointArgument { endpoint }) => {
            print_state(&shop.ask("POST", &path(*endpoint, "/enable"), None)?, output)?;
        }
        WebhooksCommand::Disable(EndpointArgument { endpoint }) => {
            print_state(&shop.ask("POST", &path(*endpoint, "/disable"), None)?, output)?;
        }
        WebhooksCommand::Rotate(EndpointArgument { endpoint }) => {
            print_secret(&shop.ask("POST", &path(*endpoint, "/rotate"), None)?, output)?;
        }
        WebhooksCommand::Test(EndpointArgument { endpoint }) => {
            let ping = shop.ask("POST", &path(*endpoint, "/test"), None)?;
            writeln!(output, "{}", attempt(&ping))?;
            if ping["arrived"] != true {
                output.flush()?;
                return Err(not_taken(*endpoint));
            }
        }
        WebhooksCommand::Deliveries { endpoint, json, limit } => {
            let page = path(*endpoint, &format!("/deliveries?limit={limit}"));
            print_deliveries(&data(shop.look(&page)?), *json, output)?;
        }
        WebhooksCommand::Replay { endpoint, from, event } => {
            let body = match event {
                Some(event) => json!({ "event_id": event }),
                None => json!({ "from": from }),
            };
            print_state(&shop.ask("POST", &path(*endpoint, "/replay"), Some(&body))?, output)?;
        }
    }
    Ok(())
}

fn path(endpoint: u64, what: &str) -> String {
    format!("{WEBHOOKS}/{endpoint}{what}")
}

/// The elements of a list.
fn data(mut listed: Value) -> Vec<Value> {
    match listed["data"].take() {
        Value::Array(elements) => elements,
        _ => Vec::new(),
    }
}

/// What a field says; a hyphen if it says nothing.
fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().filter(|text| !text.is_empty()).unwrap_or("-")
}

fn print_list(endpoints: &[Value], json: bool, output: &mut impl Write) -> io::Result<()> {
    for endpoint in endpoints {
        if json {
            writeln!(output, "{endpoint}")?;
            continue;
        }
        print_state(endpoint, output)?;
        let types = endpoint["types"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let types: Vec<&str> = types.collect();
        let types = if types.is_empty() { "all".to_owned() } else { types.join(" ") };
        writeln!(output, "    {}  events: {types}", text(endpoint, "description"))?;
    }
    if !json {
        writeln!(output, "{} endpoints", endpoints.len())?;
    }
    Ok(())
}

/// One line of an endpoint, and one more if something is wrong with it.
fn print_state(endpoint: &Value, output: &mut impl Write) -> io::Result<()> {
    let (id, state, url) =
        (text(endpoint, "endpoint_id"), text(endpoint, "state"), text(endpoint, "url"));
    let (waiting, parked) = (&endpoint["waiting"], &endpoint["parked"]);
    writeln!(output, "{id}  {state:8}  {url}  waiting: {waiting}  parked: {parked}")?;
    if let Some(reason) = endpoint["reason"].as_str() {
        writeln!(output, "    disabled by the shop: {reason}")?;
    }
    if let Some(since) = endpoint["failing_since"].as_str() {
        writeln!(output, "    nothing has arrived since {since}")?;
    }
    Ok(())
}

fn print_secret(written: &Value, output: &mut impl Write) -> io::Result<()> {
    print_state(&written["webhook"], output)?;
    writeln!(output, "secret: {}", text(written, "secret"))
}

fn print_deliveries(deliveries: &[Value], json: bool, output: &mut impl Write) -> io::Result<()> {
    for delivery in deliveries {
        if json {
            writeln!(output, "{delivery}")?;
            continue;
        }
        let (at, kind, id) =
            (text(delivery, "at"), text(delivery, "event_type"), text(delivery, "event_id"));
        let number = &delivery["attempt"];
        writeln!(output, "{at}  {kind}  {id}  attempt {number}: {}", attempt(delivery))?;
    }
    if !json {
        writeln!(output, "{} attempts", deliveries.len())?;
    }
    Ok(())
}

/// What became of an attempt.
fn attempt(of: &Value) -> String {
    let took = &of["duration_ms"];
    let status = of["status"].as_u64().map_or("no answer".to_owned(), |status| status.to_string());
    match of["error"].as_str() {
        None => format!("it arrived: {status}, {took} ms"),
        Some(error) => format!("it did not arrive: {status}, {took} ms: {error}"),
    }
}

fn not_taken(endpoint: u64) -> Failure {
    Failure {
        exit: Exit::Broken,
        what: "the ping was not taken".to_owned(),
        meaning: "the endpoint is as it was; nothing else was sent".to_owned(),
        remedy: format!(
            "mend the receiver or its URL; `seckill webhooks deliveries {endpoint}` has what was tried"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut output = Vec::new();
        print(&mut output).expect("a vector takes all");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn an_endpoint_is_a_line_and_what_is_wrong_with_it_another() {
        let endpoints = [
            json!({
                "endpoint_id": "7", "state": "live", "url": "https://erp.example/", "waiting": 2,
                "parked": 1, "types": [], "description": "ERP", "reason": null,
                "failing_since": "2030-11-11T00:00:00.000Z",
            }),
            json!({
                "endpoint_id": "8", "state": "disabled", "url": "https://wms.example/",
                "waiting": 0, "parked": 0, "types": ["seckill.order.paid"], "description": "",
                "reason": "it answered with status 410: it is there no more", "failing_since": null,
            }),
        ];
        assert_eq!(
            printed(|output| print_list(&endpoints, false, output)),
            "7  live      https://erp.example/  waiting: 2  parked: 1\n    \
             nothing has arrived since 2030-11-11T00:00:00.000Z\n    \
             ERP  events: all\n\
             8  disabled  https://wms.example/  waiting: 0  parked: 0\n    \
             disabled by the shop: it answered with status 410: it is there no more\n    \
             -  events: seckill.order.paid\n\
             2 endpoints\n"
        );
        assert_eq!(printed(|output| print_list(&[], false, output)), "0 endpoints\n");
        assert_eq!(printed(|output| print_list(&endpoints, true, output)).lines().count(), 2);
    }

    #[test]
    fn an_attempt_says_what_became_of_it() {
        let arrived = json!({ "status": 204, "error": null, "duration_ms": 12 });
        let lost = json!({ "status": null, "error": "no answer in time", "duration_ms": 15_000 });
        assert_eq!(attempt(&arrived), "it arrived: 204, 12 ms");
        let expected = "it did not arrive: no answer, 15000 ms: no answer in time";
        assert_eq!(attempt(&lost), expected);
    }
}
