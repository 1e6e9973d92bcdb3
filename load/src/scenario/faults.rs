//! The faults a scenario can order. Each has a moment and, where it lasts, a length;
//! the laboratory applies them to private instances only.

use serde::{Deserialize, Serialize};

/// A backend that is started privately for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Checkpoints go to a private redis-server.
    Redis,
    /// Records go through a private rabbitmq-server.
    Rabbitmq,
    /// Orders go to a private mariadbd.
    Mysql,
}

/// Something that breaks in a run.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Moment, in milliseconds after the load began.
    pub at_ms: u64,
    /// The kind of fault.
    pub what: FaultKind,
    /// How long it lasts in milliseconds; 0 for what happens in an instant.
    #[serde(default)]
    pub for_ms: u64,
    /// Delay in milliseconds of each transfer, for the slow ones.
    #[serde(default)]
    pub delay_ms: u64,
    /// How often it happens, `every_ms` after each other.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
    /// Milliseconds from one time to the next.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub every_ms: u64,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_once(times: &u32) -> bool {
    *times == once()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(milliseconds: &u64) -> bool {
    *milliseconds == 0
}

impl Fault {
    /// Each time that it happens, as a fault of its own.
    pub fn each_time(&self) -> impl Iterator<Item = Self> + '_ {
        (0..u64::from(self.times)).map(|time| Self {
            at_ms: self.at_ms.saturating_add(time.saturating_mul(self.every_ms)),
            times: once(),
            every_ms: 0,
            ..self.clone()
        })
    }
}

/// What can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// kill -9 of the engine, of several nodes the one that serves the most shards; started again on the same
    /// data after `for_ms`.
    ServerKilled,
    /// SIGTERM to it; started again when it has gone and `for_ms` have passed.
    ServerRestarted,
    /// It is frozen (SIGSTOP) for `for_ms`.
    ServerFrozen,
    /// redis-server is killed and started again after `for_ms`.
    RedisDown,
    /// redis-server loses everything it holds.
    RedisEmptied,
    /// Each transfer to and from redis-server takes `delay_ms` longer.
    RedisSlow,
    /// rabbitmq-server is killed and started again after `for_ms`.
    RabbitmqDown,
    /// mariadbd is killed and started again after `for_ms`.
    MysqlDown,
    /// Each transfer to and from mariadbd takes `delay_ms` longer.
    MysqlSlow,
    /// Each of several nodes in turn: its shards are drained and clients kept away, it is stopped with SIGTERM and
    /// started again after `for_ms`, as docs/cluster.md advises.
    RollingRestart,
    /// One more node is started, clients are let in, and all shards are spread anew with the sale on. It stays.
    NodeJoins,
    /// Two of etcd's three members are killed and started again after `for_ms`.
    QuorumLost,
}

impl FaultKind {
    /// The backend this breaks; `None` for the engine itself, and for the etcd that several nodes have anyway.
    #[must_use]
    pub fn backend(self) -> Option<Backend> {
        match self {
            Self::ServerKilled
            | Self::ServerRestarted
            | Self::ServerFrozen
            | Self::RollingRestart
            | Self::NodeJoins
            | Self::QuorumLost => None,
            Self::RedisDown | Self::RedisEmptied | Self::RedisSlow => Some(Backend::Redis),
            Self::RabbitmqDown => Some(Backend::Rabbitmq),
            Self::MysqlDown | Self::MysqlSlow => Some(Backend::Mysql),
        }
    }

    /// True for one process of the engine, which breaks.
    #[must_use]
    pub fn is_of_server(self) -> bool {
        matches!(self, Self::ServerKilled | Self::ServerRestarted | Self::ServerFrozen)
    }

    /// True for what only several nodes have.
    #[must_use]
    pub fn is_of_nodes(self) -> bool {
        matches!(self, Self::RollingRestart | Self::NodeJoins | Self::QuorumLost)
    }

    /// True if a delay must be given.
    #[must_use]
    pub fn is_slow(self) -> bool {
        matches!(self, Self::RedisSlow | Self::MysqlSlow)
    }

    /// In words, for timelines.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::ServerKilled => "killed",
            Self::ServerRestarted => "restarted",
            Self::ServerFrozen => "frozen",
            Self::RollingRestart => "drained and restarted",
            Self::NodeJoins => "joins",
            Self::RedisDown => "Redis down",
            Self::RedisEmptied => "Redis emptied",
            Self::RedisSlow => "Redis slow",
            Self::RabbitmqDown => "RabbitMQ down",
            Self::MysqlDown => "MySQL down",
            Self::MysqlSlow => "MySQL slow",
            Self::QuorumLost => "etcd without a majority",
        }
    }
}
