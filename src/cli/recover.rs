//! `seckill recover`: a new journal, where the old one is lost and the order store lives.

use super::failure::{self, Exit, Failure};
use super::numbers::grouped;
use super::refused_start::in_use;
use crate::app::recover::{self, RecoverError, Recovered};
use crate::config::Config;
use crate::opening::OpenError;
use crate::store::data_dir::DataDirError;
use std::io::{self, Write};

/// What `seckill recover` can be told.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RecoverArguments {
    /// Begin a new journal behind what the order store holds, with all items paused
    #[arg(long, required = true)]
    from_orders: bool,
}

/// Begins a new journal and says what came back.
///
/// # Errors
/// Returns [`Failure`] if there is a journal, a store does not answer, or one is another shop's.
pub fn run(config: &Config, output: &mut impl Write) -> Result<(), Failure> {
    let remedy = "`seckill cluster restore` does it where etcd is lost for good; docs/cluster.md tells what nodes do by \
                  themselves";
    failure::without_cluster(config, "nothing was recovered", remedy)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let recovered = runtime.block_on(recover::recover(config))?;
    Ok(print(&recovered, output)?)
}

fn print(recovered: &Recovered, output: &mut impl Write) -> io::Result<()> {
    let Recovered { journal_id, orders, paused_items, from_checkpoints } = *recovered;
    let count = |count: usize| grouped(u64::try_from(count).unwrap_or(u64::MAX));
    writeln!(output, "journal {journal_id} begins anew behind what the order store holds")?;
    writeln!(output, "  {} orders are held again", count(orders))?;
    if from_checkpoints > 0 {
        writeln!(
            output,
            "  {} records came from the checkpoints; the order store gets them at the next start",
            count(from_checkpoints)
        )?;
    }
    writeln!(
        output,
        "  {} items are paused; resume each when you have judged it",
        count(paused_items)
    )?;
    writeln!(
        output,
        "What was confirmed and in neither the order store nor a checkpoint is gone: a buyer may hold a \
         confirmation without an order, and its stock is on sale again."
    )
}

impl From<RecoverError> for Failure {
    fn from(error: RecoverError) -> Self {
        let (exit, remedy) = match &error {
            RecoverError::JournalThere(_) => (
                Exit::Data,
                "if `seckill serve` refuses that journal and it cannot be brought back, move its \
                 directory away and repeat; otherwise there is nothing to recover",
            ),
            RecoverError::NoOrderStore(_) | RecoverError::NoIdentity => {
                (Exit::Data, "bring the order store back, or correct data.dir and orders.mysql_url")
            }
            RecoverError::Open(OpenError::DataDir(DataDirError::InUse { .. })) => {
                return in_use(format!("nothing was recovered: {error}"));
            }
            RecoverError::Open(_) | RecoverError::Recovery(_) => (
                Exit::Data,
                "make the stores that the configuration names reachable, and this shop's",
            ),
            RecoverError::Orders(_)
            | RecoverError::Broker(_)
            | RecoverError::Journal(_)
            | RecoverError::ReadBack(_)
            | RecoverError::Checkpoints(_) => {
                (Exit::Fault, "mend that, move a journal that was begun away, and repeat")
            }
        };
        Self {
            exit,
            what: format!("nothing was recovered: {error}"),
            meaning: "the sale stays closed; order store and checkpoints are as they were"
                .to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}
