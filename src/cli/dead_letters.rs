//! `seckill dead-letters`: what the order store could not take, to look at and to send again.
//!
//! With a broker it is in a queue, without one in the order store itself. Both are looked at, so that
//! nothing is out of sight because a shop was given a broker, or lost it.

use super::failure::{Exit, Failure};
use crate::config::Config;
use crate::opening;
use crate::store::broker::dead_letters::{self, DeadLetter};
use crate::store::data_dir::DataDir;
use crate::store::journal::record;
use crate::store::orders::{OrderStore, SetAside};
use domain::{Event, ItemAction, Operation};
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
            print(&runtime.block_on(list(config, limit))?, json, output)?;
        }
        DeadLettersCommand::Replay { limit } => {
            let replayed = runtime.block_on(replay(config, limit))?;
            writeln!(output, "{replayed} messages were sent again")?;
        }
    }
    Ok(())
}

async fn list(config: &Config, limit: usize) -> Result<Vec<DeadLetter>, Failure> {
    let mut letters = match opening::broker_address(config).map_err(failed)? {
        Some(address) => dead_letters::list(address, limit).await.map_err(failed)?,
        None => Vec::new(),
    };
    if let Some(orders) = orders(config).await? {
        let set_aside = orders.set_aside(limit - letters.len()).await.map_err(failed)?;
        letters.extend(set_aside.into_iter().map(DeadLetter::from));
    }
    Ok(letters)
}

async fn replay(config: &Config, limit: usize) -> Result<usize, Failure> {
    let mut replayed = match opening::broker_address(config).map_err(failed)? {
        Some(address) => dead_letters::replay(address, limit).await.map_err(failed)?,
        None => 0,
    };
    if let Some(orders) = orders(config).await? {
        replayed += orders.replay(limit - replayed).await.map_err(failed)?;
    }
    Ok(replayed)
}

/// The order store, if there is one.
async fn orders(config: &Config) -> Result<Option<OrderStore>, Failure> {
    let data_dir = DataDir::look(&config.data.dir);
    opening::existing_orders(config, &data_dir).await.map_err(failed)
}

impl From<SetAside> for DeadLetter {
    fn from(SetAside { record, reason }: SetAside) -> Self {
        let mut bytes = Vec::with_capacity(record::RECORD_LENGTH_MAX);
        record::encode(&record, &mut bytes);
        Self {
            message_id: format!("{}-{}", record.shard, record.seq),
            reason,
            length: bytes.len(),
            records: Ok(vec![record]),
        }
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

fn subject(event: &Event) -> String {
    match event {
        Event::Order(order) => format!("order {} {}", order.order_id, order.status.name()),
        Event::ItemOpened(terms) => format!("item {} opened", terms.item_id),
        Event::ItemOperated(Operation { item_id, action, .. }) => match action {
            ItemAction::Restock(units) => format!("item {item_id} restocked by {units}"),
            ItemAction::Reduce(units) => format!("item {item_id} reduced by {units}"),
            ItemAction::Pause => format!("item {item_id} paused"),
            ItemAction::Resume => format!("item {item_id} resumed"),
            ItemAction::End => format!("item {item_id} ended"),
        },
        Event::ItemSettled(item_id) => format!("item {item_id} settled"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::broker::format::{self, MalformedMessage};
    use domain::{ItemId, Record, ShardId, Timestamp};

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
