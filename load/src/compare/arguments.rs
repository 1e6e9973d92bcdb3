//! What a comparison can be asked: its arguments and the contenders' names.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::drive;
use crate::outcome::Outcome;

/// Arguments of `load compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArguments {
    /// Rounds; each measures every contender once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of load for one contender in one round.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Connections, each with one request under way; with several numbers all is measured with each.
    #[arg(long, default_value = "64", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: Vec<u32>,
    /// Items that the buyers spread over; 1 is the flash sale's hot item.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub items: u32,
    /// Distinct users; each buys each item once, and a round ends early when all have.
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub users: u32,
    /// How many threads the generator has.
    #[arg(long, default_value_t = drive::default_threads(), value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Only these contenders (the floor is always measured).
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Name>,
    /// Leave out the open-loop part.
    #[arg(long)]
    pub closed_only: bool,
    /// Purchases a second in the open-loop part; by default half of what the engine did in the closed loop.
    #[arg(long, value_name = "RATE", conflicts_with = "closed_only")]
    pub open_rate: Option<f64>,
    /// Pages a second that are read beside the purchases of `engine-read`.
    #[arg(long, value_name = "RATE", default_value_t = 5_000.0)]
    pub views: f64,
    /// The engine's program; by default the workspace's release build, made if need be.
    #[arg(long, value_name = "PATH")]
    pub server_bin: Option<PathBuf>,
    /// Another build of the engine, which is measured in turn with it.
    #[arg(long, value_name = "OTHER_BINARY")]
    pub against: Option<PathBuf>,
    /// Shards of the engine.
    #[arg(long)]
    pub shards: Option<u32>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The contenders that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// Parses the request and answers a constant.
    Floor,
    /// This engine with stock: every answer is durable.
    Engine,
    /// The engine of `--against` with stock.
    EngineAgainst,
    /// This engine with stock, and Redis, RabbitMQ and MariaDB behind it.
    EngineBackends,
    /// This engine with stock, and a collector that takes the traces of one purchase in a thousand.
    EngineTraced,
    /// This engine with stock, and a RabbitMQ and a receiver of webhooks that are told of each order.
    EngineTold,
    /// This engine with stock, asked by gRPC.
    EngineGrpc,
    /// This engine with stock, while 32 people watch the live figures.
    EngineWatched,
    /// This engine with stock, while people read its pages.
    EngineRead,
    /// This engine sold out: every answer is a refusal.
    EngineSoldOut,
    /// Redis and Lua without an append-only file.
    RedisOff,
    /// Redis and Lua, synced each second.
    RedisEverysec,
    /// Redis and Lua, synced before each answer.
    RedisAlways,
    /// A row lock in MariaDB.
    Mariadb,
    /// The engine's actors and journal without HTTP.
    InProcess,
}

impl Name {
    /// What a buyer may believe after an answer, in a few words.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Self::Floor => "nothing",
            Self::Engine
            | Self::EngineAgainst
            | Self::EngineBackends
            | Self::EngineTraced
            | Self::EngineTold
            | Self::EngineGrpc
            | Self::EngineWatched
            | Self::EngineRead
            | Self::InProcess => "durable before the answer",
            Self::EngineSoldOut => "refused by durable facts",
            Self::RedisOff => "a crash forgets everything",
            Self::RedisEverysec => "a crash forgets up to a second",
            Self::RedisAlways | Self::Mariadb => "durable before the answer",
        }
    }

    /// The name on the command line and in tables.
    #[must_use]
    pub fn text(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it is a process of this engine.
    pub(super) fn is_engine(self) -> bool {
        matches!(
            self,
            Self::Engine
                | Self::EngineAgainst
                | Self::EngineBackends
                | Self::EngineTraced
                | Self::EngineTold
                | Self::EngineGrpc
                | Self::EngineWatched
                | Self::EngineRead
                | Self::EngineSoldOut
        )
    }

    /// Whether it is measured in the open loop too.
    pub(super) fn has_open_loop(self) -> bool {
        use Name::{Engine, EngineRead, EngineTold, EngineWatched, Floor};
        matches!(self, Floor | Engine | EngineTold | EngineWatched | EngineRead)
    }

    /// The answer that this contender should give to a purchase.
    pub(super) fn expects(self) -> Outcome {
        if self == Self::EngineSoldOut { Outcome::SoldOut } else { Outcome::Reserved }
    }
}
