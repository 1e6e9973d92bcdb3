//! `seckill dead-letters`: what the order store could not take, to look at and to send again.
//! Must not know where they are kept: `store/dead_letters.rs` does.

use super::failure::{Exit, Failure};
use crate::config::Config;
use crate::opening;
use crate::store::broker::BrokerError;
use crate::store::broker::dead_letters::DeadLetter;
use crate::store::data_dir::DataDir;
use crate::store::dead_letters::{DeadLetters, DeadLettersError, subject};
use serde_json::{Value, json};
use std::io::{self, Write};

/// The commands about dead letters.
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

/// Lists or replays the dead letters of the configured broker and order store.
///
/// # Errors
/// Returns [`Failure`] if one of them does not answer.
pub fn run(
    config: &Config,
    command: &DeadLettersCommand,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match *command {
        DeadLettersCommand::List { json, limit } => {
            let letters = runtime
                .block_on(async { configured(config).await?.list(limit).await.map_err(refused) })?;
            print(&letters, json, output)?;
        }
        DeadLettersCommand::Replay { limit } => {
            let replayed = runtime.block_on(async {
                configured(config).await?.replay(limit).await.map_err(refused)
            })?;
            writeln!(output, "{replayed} messages were sent again")?;
        }
    }
    Ok(())
}

/// The dead letters of the configured broker and order store.
async fn configured(config: &Config) -> Result<DeadLetters, Failure> {
    let broker = opening::broker_address(config).map_err(failed)?;
    let data_dir = DataDir::look(&config.data.dir);
    let orders = opening::existing_orders(config, &data_dir).await.map_err(failed)?;
    Ok(DeadLetters { broker, orders })
}

/// What a place that does not answer means. A queue that is not there is one that was lost, or never was.
fn refused(error: DeadLettersError) -> Failure {
    if error != DeadLettersError::Broker(BrokerError::QueueMissing) {
        return failed(error);
    }
    Failure {
        exit: Exit::Fault,
        what: "RabbitMQ has no queue seckill.dead-letters: no engine has served with it yet, or what it \
               kept was deleted or lost since"
            .to_owned(),
        meaning: "the sale goes on. Dead letters that were in the queue are gone from there; the orders in \
                  them are in the journal, as long as it has not deleted them, and not in the order store"
            .to_owned(),
        remedy: "start the shop with this RabbitMQ, or wait until it has connected again: it makes the queue \
                 anew and sends again what had not reached the order store; then `seckill audit` says which \
                 orders are missing (I4), and this command what became a dead letter again"
            .to_owned(),
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure {
        exit: Exit::Fault,
        what: format!("the dead letters cannot be reached: {error}"),
        meaning: "the sale goes on; every message that was not confirmed is where it was"
            .to_owned(),
        remedy: "make RabbitMQ and the order store reachable; queues and tables are there once an \
                 engine has served with them"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::broker::format::{self, MalformedMessage};
    use crate::store::orders::SetAside;
    use domain::{Event, ItemAction, ItemId, Operation, Record, ShardId, Timestamp};

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
    fn what_the_order_store_keeps_is_a_message_of_one_record() {
        let restock = Operation::unattributed(ItemId(4), ItemAction::Restock(9));
        let event = Event::ItemOperated(restock);
        let record = Record { shard: ShardId(2), seq: 17, at: Timestamp(0), event };
        let kept = DeadLetter::from(SetAside { record, reason: "conflict".to_owned() });
        assert_eq!(
            text(&[kept], false),
            "2-17  33 bytes  conflict\n    shard 2 record 17: item 4 restocked by 9\n\
             1 dead letters\n"
        );
    }

    #[test]
    fn each_says_what_it_is_about_and_why_it_is_here() {
        let pause = Operation::unattributed(ItemId(4), ItemAction::Pause);
        let event = Event::ItemOperated(pause);
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
