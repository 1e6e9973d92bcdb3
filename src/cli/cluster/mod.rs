//! `seckill cluster`: how a cluster is, and what its nodes are to do. Needs etcd and nothing else.

mod founding;
mod report;

use super::failure::{Exit, Failure};
use crate::app::founding as beginning;
use crate::app::steering::{
    self, DrainOutcome, MoveOutcome, Steering, SteeringError, SteeringOpenError,
};
use crate::config::Loaded;
use domain::ShardId;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Who asks, as the nodes are told.
const BY: &str = "seckill cluster";
/// How long the commands wait for the nodes to do what is asked.
const WAIT: Duration = Duration::from_secs(60);

/// The commands about a cluster.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ClusterCommand {
    /// Show nodes, shards and etcd, and what is wrong with them; code 1 if anything is
    Status {
        /// A table for people, or one JSON object
        #[arg(long, value_enum, default_value_t)]
        format: report::Format,
    },
    /// Have a node give its shards to the others, one by one, and take none until `undrain`
    Drain {
        /// The node's name
        node: String,
    },
    /// Let a node take shards again; it takes what is free, and nothing back
    Undrain {
        /// The node's name
        node: String,
    },
    /// Have a node serve a shard, also in the midst of a sale, which pauses for a moment
    Move {
        /// The shard's number
        shard: u16,
        /// The node's name
        node: String,
    },
    /// Spread the shards over the nodes, as if all began anew; those with a sale that is on stay where they are
    Rebalance {
        /// Move shards with a sale that is on, too: each of these sales pauses for a moment
        #[arg(long)]
        with_sales: bool,
    },
    /// Make a cluster of a shop that has sold alone, with its journal; nothing may serve meanwhile
    Init {
        /// The data directory of the shop
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
    },
    /// Bring a cluster back whose etcd is lost for good, from MySQL and Redis; nothing may serve meanwhile
    Restore,
}

/// Shows the configured cluster or has its nodes do something, and waits until they have.
///
/// # Errors
/// Returns [`Failure`] if etcd does not answer, what is asked makes no sense, or the nodes do not do it.
pub fn run(
    loaded: &Loaded,
    command: &ClusterCommand,
    output: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let config = &loaded.config;
    if !config.cluster.is_set() {
        return Err(Failure {
            exit: Exit::Configuration,
            what: "the configuration names no cluster".to_owned(),
            meaning: "nothing was read and nothing was changed".to_owned(),
            remedy: "set cluster.endpoints to etcd's members, as docs/cluster.md shows".to_owned(),
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let steering = steering::open(loaded)?;
        match command {
            ClusterCommand::Status { format } => {
                let standing = steering.standing().await?;
                report::print(&standing, *format, &config.cluster.prefix, output)?;
                if !standing.troubles.is_empty() {
                    return Ok(Exit::Broken.into());
                }
            }
            ClusterCommand::Drain { node } => drain(&steering, node, output).await?,
            ClusterCommand::Undrain { node } => {
                steering.undrain(node).await?;
                writeln!(output, "node {node} takes shards that are free, and nothing back")?;
            }
            ClusterCommand::Move { shard, node } => {
                move_shard(&steering, *shard, node, output).await?;
            }
            ClusterCommand::Init { from } => {
                founding::print_founded(&beginning::init(config, from).await?, output)?;
            }
            ClusterCommand::Restore => {
                founding::print_restored(&beginning::restore(config).await?, output)?;
            }
            ClusterCommand::Rebalance { with_sales } => {
                rebalance(&steering, *with_sales, output).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn drain(steering: &Steering, node: &str, output: &mut impl Write) -> Result<(), Failure> {
    steering.drain(node, BY).await?;
    let DrainOutcome { left, unowned } = steering::drained(steering, node, WAIT).await?;
    if left + unowned > 0 {
        return Err(undone(
            format!("node {node} has {left} shards yet, and {unowned} shards have no owner"),
            "see what the nodes' logs say; `seckill cluster status` shows how far it is, and \
             `seckill cluster undrain` takes it back",
        ));
    }
    writeln!(
        output,
        "node {node} serves no shard, and takes none until `seckill cluster undrain {node}`"
    )?;
    Ok(())
}

async fn move_shard(
    steering: &Steering,
    shard: u16,
    node: &str,
    output: &mut impl Write,
) -> Result<(), Failure> {
    steering.move_shard(shard, node, BY).await?;
    let moves = [(ShardId(shard), node.to_owned())];
    let outcome = steering::moved(steering, &moves, WAIT).await?;
    if outcome.moved == 1 {
        writeln!(output, "node {node} serves shard {shard}")?;
        return Ok(());
    }
    Err(undone(format!("node {node} does not serve shard {shard}"), "see what its log says"))
}

async fn rebalance(
    steering: &Steering,
    with_sales: bool,
    output: &mut impl Write,
) -> Result<(), Failure> {
    let moves = steering.rebalance(with_sales, BY).await?.moves;
    let MoveOutcome { moved, stayed, open } = steering::moved(steering, &moves, WAIT).await?;
    if moves.is_empty() {
        writeln!(output, "every shard is where it should be")?;
        return Ok(());
    }
    writeln!(output, "{moved} shards moved")?;
    if stayed > 0 {
        let why =
            if with_sales { "the nodes' logs say why" } else { "a sale of their items is on" };
        writeln!(output, "{stayed} shards stay where they are: {why}")?;
    }
    if open > 0 {
        return Err(undone(
            format!("{open} shards have not moved yet"),
            "`seckill cluster status` shows which ones; the wish ends by itself, and may be repeated",
        ));
    }
    Ok(())
}

fn undone(what: String, remedy: &str) -> Failure {
    Failure {
        exit: Exit::Fault,
        what,
        meaning: "what has an owner is sold; nothing that was confirmed is lost".to_owned(),
        remedy: remedy.to_owned(),
    }
}

impl From<SteeringOpenError> for Failure {
    fn from(error: SteeringOpenError) -> Self {
        Self {
            exit: Exit::Configuration,
            what: format!("etcd cannot be used: {error}"),
            meaning: "nothing was read and nothing was changed".to_owned(),
            remedy: "correct cluster.endpoints, or the certificates that [cluster] names"
                .to_owned(),
        }
    }
}

impl From<SteeringError> for Failure {
    fn from(error: SteeringError) -> Self {
        let (exit, remedy) = match &error {
            SteeringError::Registry(_) | SteeringError::Look(_) => (
                Exit::Data,
                "see that cluster.endpoints names etcd's members, and that a majority of them answers",
            ),
            SteeringError::NoCluster(_) => (
                Exit::Data,
                "correct cluster.endpoints or cluster.prefix: no node has founded a shop there",
            ),
            SteeringError::NoNode { .. } | SteeringError::NoShard { .. } => {
                (Exit::CommandLine, "`seckill cluster status` shows nodes and shards")
            }
            SteeringError::LastNode(_) => {
                (Exit::CommandLine, "start another node first, or `seckill cluster undrain` one")
            }
            SteeringError::Draining(_) => (Exit::CommandLine, "`seckill cluster undrain` it first"),
        };
        Self {
            exit,
            what: error.to_string(),
            meaning: "nothing was changed".to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}
