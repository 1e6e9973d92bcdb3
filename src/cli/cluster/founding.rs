//! `seckill cluster init` and `restore`: a cluster that begins with what another log has left.

use crate::app::founding::{FoundError, Founded, Restored};
use crate::cli::failure::{Exit, Failure};
use crate::cli::numbers::grouped;
use crate::cli::refused_start::in_use;
use crate::opening::OpenError;
use crate::store::data_dir::DataDirError;
use std::io::{self, Write};

/// Says what became of a shop that has sold alone.
///
/// # Errors
/// Returns the output's error if it cannot be written.
pub(super) fn print_founded(founded: &Founded, output: &mut impl Write) -> io::Result<()> {
    let Founded { identity, records, kept } = founded;
    writeln!(
        output,
        "shop {identity} is a cluster now, with {} records in its log",
        grouped(*records)
    )?;
    writeln!(output, "  its journal of before is {}: nothing reads it any more", kept.display())?;
    writeln!(output, "Start the nodes, each with a data directory of its own.")
}

/// Says what came back.
///
/// # Errors
/// Returns the output's error if it cannot be written.
pub(super) fn print_restored(restored: &Restored, output: &mut impl Write) -> io::Result<()> {
    let Restored { identity, orders, paused_items, from_checkpoints } = *restored;
    let count = |count: usize| grouped(u64::try_from(count).unwrap_or(u64::MAX));
    writeln!(output, "the log of shop {identity} begins anew behind what the order store holds")?;
    writeln!(output, "  {} orders are held again", count(orders))?;
    writeln!(output, "  {} records came from the checkpoints", count(from_checkpoints))?;
    writeln!(
        output,
        "  {} items are paused; resume each when you have judged it",
        count(paused_items)
    )?;
    writeln!(
        output,
        "What was confirmed and in neither the order store nor a checkpoint is gone, which is a second's sales, \
         and without Redis five of a rush: a buyer may hold a confirmation without an order, and its stock is \
         on sale again."
    )
}

impl From<FoundError> for Failure {
    fn from(error: FoundError) -> Self {
        let (exit, remedy) = match &error {
            FoundError::Open(OpenError::DataDir(DataDirError::InUse { .. })) => {
                return in_use(format!("no cluster was begun: {error}"));
            }
            FoundError::Address(_) => (
                Exit::Configuration,
                "correct cluster.endpoints, or the certificates that [cluster] names",
            ),
            FoundError::Shards { .. } => {
                (Exit::Configuration, "set engine.shards to the number that the shop was made with")
            }
            FoundError::ClusterThere(_) => (
                Exit::Data,
                "there is nothing to begin; if that is another shop, give this one a cluster.prefix of its own",
            ),
            FoundError::Founding(_) => (
                Exit::Data,
                "correct cluster.prefix, or delete what lies below it with etcdctl if nobody needs it; then \
                 repeat: what was begun is begun anew",
            ),
            FoundError::NoJournal(_) => {
                (Exit::Data, "give --from the data directory of the shop that has sold alone")
            }
            FoundError::Journal(_) => (
                Exit::Data,
                "go on as docs/operations.md says of \"A damaged journal\"; nothing was written",
            ),
            FoundError::ForeignOrders { .. } | FoundError::NothingThere => (
                Exit::Data,
                "correct orders.mysql_url: the shop's orders, catalogue and accounts have to be there already",
            ),
            FoundError::Open(_) | FoundError::Recovery(_) => (
                Exit::Data,
                "make the stores that the configuration names reachable, and this shop's",
            ),
            FoundError::Registry(_)
            | FoundError::File { .. }
            | FoundError::Orders(_)
            | FoundError::Checkpoints(_)
            | FoundError::Task(_) => {
                (Exit::Fault, "mend that and repeat: what was begun is begun anew")
            }
        };
        Self {
            exit,
            what: format!("no cluster was begun: {error}"),
            meaning: "the sale stays closed; no order and no record is lost by this".to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}
