//! `seckill dead-letters`: messages that the order store could not take, to look at and to send again.

use super::failure::{Exit, Failure};
use crate::config::Config;
use crate::domain::Event;
use crate::store::broker::dead_letters::{self, DeadLetter};
use crate::store::broker::{BrokerAddress, BrokerError};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

/// What can be done with dead letters.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum DeadLettersCommand {
    /// Show them; all stay where they are
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        /// Show at most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Send them to the order store again; what it still cannot take comes back as a dead letter
    Replay {
        /// Send at most so many
        #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
        limit: usize,
    },
}

/// Lists or replays the dead letters of the configured broker.
///
/// # Errors
/// Where there is no broker, or it cannot be asked.
pub fn run(
    config: &Config,
    command: &DeadLettersCommand,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let address = address(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match *command {
        DeadLettersCommand::List { json, limit } => {
            let letters = runtime.block_on(dead_letters::list(address, limit));
            print(&letters.map_err(failed)?, json, output)?;
        }
        DeadLettersCommand::Replay { limit } => {
            let replayed = runtime.block_on(dead_letters::replay(address, limit));
            writeln!(output, "{} messages were sent again", replayed.map_err(failed)?)?;
        }
    }
    Ok(())
}

fn address(config: &Config) -> Result<BrokerAddress, Failure> {
    let Some(url) = &config.broker.amqp_url else {
        return Err(Failure {
            exit: Exit::Configuration,
            what: "broker.amqp_url is not set".to_owned(),
            meaning: "without RabbitMQ records are handed over in the process, and there are no \
                      dead letters"
                .to_owned(),
            remedy: "set broker.amqp_url as the serving process has it".to_owned(),
        });
    };
    let certificate = config.broker.amqp_ca_file.as_ref().map(std::fs::read_to_string).transpose();
    Ok(BrokerAddress {
        url: url.secret().clone(),
        root_certificate: certificate.map_err(|error| {
            failed(BrokerError::Refused(format!("broker.amqp_ca_file: {error}")))
        })?,
        confirm_timeout: Duration::from_millis(config.broker.confirm_timeout_ms),
    })
}

fn failed(error: BrokerError) -> Failure {
    Failure {
        exit: Exit::Fault,
        what: format!("the dead letters cannot be reached: {error}"),
        meaning: "the sale goes on; every message that was not confirmed is where it was"
            .to_owned(),
        remedy: "make RabbitMQ reachable; its queues are there once an engine has served with it"
            .to_owned(),
    }
}

fn print(letters: &[DeadLetter], json: bool, output: &mut impl Write) -> io::Result<()> {
    for letter in letters {
        let DeadLetter { message_id, reason, length, records } = letter;
        if json {
            writeln!(output, "{}", as_json(letter))?;
            continue;
        }
        writeln!(output, "{message_id}  {length} bytes  {reason}")?;
        match records {
            Err(error) => writeln!(output, "    {error}")?,
            Ok(records) => {
                for record in records {
                    let (shard, seq) = (record.shard, record.seq);
                    writeln!(output, "    shard {shard} record {seq}: {}", subject(&record.event))?;
                }
            }
        }
    }
    if !json {
        writeln!(output, "{} dead letters", letters.len())?;
    }
    Ok(())
}

fn as_json(letter: &DeadLetter) -> Value {
    let records: Vec<Value> = letter.records.iter().flatten().map(|record| {
        json!({ "shard": record.shard.0, "seq": record.seq, "about": subject(&record.event) })
    }).collect();
    json!({
        "message_id": letter.message_id,
        "reason": letter.reason,
        "bytes": letter.length,
        "malformed": letter.records.as_ref().err().map(ToString::to_string),
        "records": records,
    })
}

fn subject(event: &Event) -> String {
    match event {
        Event::Order(order) => format!("order {} {}", order.order_id, order.status.name()),
        Event::ItemOpened(terms) => format!("item {} opened", terms.item_id),
        Event::ItemRestocked { item_id, units } => format!("item {item_id} restocked by {units}"),
        Event::ItemPaused(item_id) => format!("item {item_id} paused"),
        Event::ItemResumed(item_id) => format!("item {item_id} resumed"),
        Event::ItemEnded(item_id) => format!("item {item_id} ended"),
        Event::ItemSettled(item_id) => format!("item {item_id} settled"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ItemId, Record, ShardId, Timestamp};
    use crate::store::broker::format::{self, MalformedMessage};

    fn letter(records: Result<Vec<Record>, MalformedMessage>) -> DeadLetter {
        DeadLetter {
            message_id: "m-1".to_owned(),
            reason: "conflict".to_owned(),
            length: 48,
            records,
        }
    }

    fn text(letters: &[DeadLetter], json: bool) -> String {
        let mut output = Vec::new();
        print(letters, json, &mut output).expect("a vector takes all");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn each_says_what_it_is_about_and_why_it_is_here() {
        let event = Event::ItemPaused(ItemId(4));
        let record = Record { shard: ShardId(2), seq: 17, at: Timestamp(0), event };
        let malformed = format::decode(b"noise").expect_err("malformed");
        let expected = format!(
            "m-1  48 bytes  conflict\n    shard 2 record 17: item 4 paused\n\
             m-1  48 bytes  conflict\n    {malformed}\n2 dead letters\n"
        );
        let letters = [letter(Ok(vec![record])), letter(Err(malformed))];
        assert_eq!(text(&letters, false), expected);
        let lines = text(&letters, true);
        let line: Value =
            serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
        assert_eq!(line["records"][0]["about"], "item 4 paused");
        assert_eq!(text(&[], false), "0 dead letters\n");
    }
}
