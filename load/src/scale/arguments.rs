//! What can be asked: the arguments of `load scale`.

use std::path::PathBuf;

use clap::Args;

use crate::scenario::NODES_MAX;

/// Arguments of `load scale`.
#[derive(Debug, Clone, Args)]
pub struct ScaleArguments {
    /// Nodes of the shop that is measured beside one of a single node.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=i64::from(NODES_MAX)))]
    pub nodes: u32,
    /// Rounds; each measures every way to ask once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of load for one way in one round.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Connections to each node of the shop of several, and as many as all those together to the single one.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub connections: u32,
    /// Share of a processor that each node may use, in hundredths; 0 does not cap them.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=6_400))]
    pub percent: u32,
    /// Items on sale, which fall to the nodes by chance.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub items: u32,
    /// Users of each node; each buys each item once.
    #[arg(long, default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub users: u32,
    /// The engine's program; by default the workspace's release build, made if need be.
    #[arg(long, value_name = "PATH")]
    pub server_bin: Option<PathBuf>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
