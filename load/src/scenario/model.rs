//! What a scenario file may say, key by key.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::{Backend, Fault, FaultKind};
use crate::schedule::Phase;

/// One scenario: a sale, the people who come to it, what breaks meanwhile, and what
/// must hold afterwards.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name, as in the file's name.
    pub name: String,
    /// One sentence for the report's head.
    pub title: String,
    /// Why this scenario exists and what to look at in its report.
    pub about: String,
    /// Seed of everything random.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The engine under test.
    #[serde(default)]
    pub server: Server,
    /// What is for sale.
    pub sale: Sale,
    /// The clients who come.
    pub people: People,
    /// How requests are made.
    #[serde(default)]
    pub generator: Generator,
    /// When they come: phases, one after another.
    pub load: Vec<Phase>,
    /// What breaks, and when.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// What must hold, beside the audit, which always must.
    #[serde(default)]
    pub pass: Criteria,
}

fn default_seed() -> u64 {
    20_241_111
}

/// How the engine is started.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Processes that are one shop: 1 is a shop by itself, more are nodes that share an etcd of
    /// three members, which is started with them.
    pub nodes: u32,
    /// Shards; the engine's own default when absent.
    pub shards: Option<u32>,
    /// Backends to start privately and hand to the engine. With none, the embedded
    /// ones serve.
    pub backends: Vec<Backend>,
    /// Further `SECKILL__SECTION__KEY` settings.
    pub environment: BTreeMap<String, String>,
}

impl Default for Server {
    fn default() -> Self {
        Self { nodes: 1, shards: None, backends: Vec::new(), environment: BTreeMap::new() }
    }
}

/// The sale to create through the admin API.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sale {
    /// Number of items.
    pub items: u32,
    /// Units of each item.
    pub allotted: u64,
    /// Buckets of each item, in as many shards (docs/buckets.md).
    #[serde(default = "one")]
    pub buckets: u32,
    /// Most live orders of one user for one item.
    #[serde(default = "one")]
    pub limit_per_user: u32,
    /// Seconds until an unpaid order expires.
    #[serde(default = "default_payment_window_seconds")]
    pub payment_window_seconds: u32,
    /// The sale opens this many milliseconds after the load begins. 0 means that it is
    /// open before the first request.
    #[serde(default)]
    pub opens_after_ms: u64,
    /// How its items are guarded; not at all when absent.
    pub guard: Option<Guard>,
}

/// How the items of a sale are guarded. Buyers get their tokens before the load begins.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Whether a proof of work is to be solved for a token.
    #[serde(default)]
    pub proof: bool,
    /// Over how many milliseconds the opening is spread.
    #[serde(default)]
    pub spread_ms: u32,
}

fn one() -> u32 {
    1
}

fn default_payment_window_seconds() -> u32 {
    600
}

/// Who comes, in which proportions, and what they do afterwards.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Distinct signed users.
    pub users: u32,
    /// Share of first visits that want item 0; the rest spread evenly over all items.
    #[serde(default)]
    pub hot_share: f64,
    /// Weights of the kinds of arrival.
    #[serde(default)]
    pub mix: Mix,
    /// What buyers do with a confirmed order.
    #[serde(default)]
    pub afterwards: Afterwards,
    /// What a client does when an answer is missing or says "later".
    #[serde(default)]
    pub retry: Retry,
}

impl People {
    /// So many users of whom each buys once and does nothing else, for measurements.
    #[must_use]
    pub fn who_buy(users: u32) -> Self {
        Self {
            users,
            hot_share: 0.0,
            mix: Mix::default(),
            afterwards: Afterwards::default(),
            retry: Retry { times: 0, ..Retry::default() },
        }
    }
}

/// Weights of the kinds of arrival; they need not sum to anything in particular.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// A user's first try for an item.
    pub buyer: f64,
    /// A user who already tried clicks again: same item, new request id.
    pub repeat_clicker: f64,
    /// A client that sends an earlier request again: same item, same request id.
    pub retrier: f64,
    /// A script hammering items that do not exist.
    pub bot: f64,
    /// A script that buys without the page: at the plain address, or with tokens that it
    /// makes up, from a thousand accounts of its own.
    pub script: f64,
    /// A visitor who only looks: at the list of sales, the page of an item, or what a page asks
    /// for. Every other one of a page has it from before and asks whether it changed.
    pub reader: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { buyer: 1.0, repeat_clicker: 0.0, retrier: 0.0, bot: 0.0, script: 0.0, reader: 0.0 }
    }
}

/// Shares of confirmed orders, and how long the buyers think about it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Afterwards {
    /// Share that is paid.
    pub pay: f64,
    /// Share that is cancelled.
    pub cancel: f64,
    /// Share that is paid only after the payment window has passed.
    pub pay_late: f64,
    /// Shortest and longest thinking time in milliseconds.
    pub think_ms: [u64; 2],
}

impl Default for Afterwards {
    fn default() -> Self {
        Self { pay: 0.0, cancel: 0.0, pay_late: 0.0, think_ms: [50, 500] }
    }
}

/// Repeating a request whose outcome is unknown, always with the same request id.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Most repeats of one request; 0 for clients that give up.
    pub times: u8,
    /// Pause before the first repeat in milliseconds; it doubles, up to five seconds.
    pub pause_ms: u64,
    /// Pause in milliseconds before a client who came before its slot comes again, as
    /// often as it takes. 0 for clients that do not.
    pub early_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { times: 3, pause_ms: 100, early_ms: 0 }
    }
}

/// How requests are made.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generator {
    /// `open`: arrivals come by the schedule whatever the server does. `closed`: each
    /// connection sends its next request when it has the answer to the last.
    pub kind: LoopKind,
    /// At which of several nodes they enter.
    pub entry: Entry,
    /// Connections in all: the most requests in flight.
    pub connections: u32,
    /// A request without an answer for this long has failed, outcome unknown.
    pub timeout_ms: u64,
    /// After the last arrival, wait at most this long for answers and follow-ups.
    pub drain_ms_max: u64,
}

impl Default for Generator {
    fn default() -> Self {
        Self {
            kind: LoopKind::Open,
            entry: Entry::Any,
            connections: 256,
            timeout_ms: 5_000,
            drain_ms_max: 30_000,
        }
    }
}

/// At which of several nodes requests enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// At whichever node the connection is to; connections spread evenly over them.
    Any,
    /// At one that does not own the item, or the order.
    WrongNode,
}

/// Open or closed loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopKind {
    /// Arrivals by the schedule; latency from the intended start.
    Open,
    /// As fast as answers come.
    Closed,
}

impl std::fmt::Display for LoopKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open loop",
            Self::Closed => "closed loop",
        })
    }
}

/// What must hold, beside the audit. An absent criterion is not judged.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Criteria {
    /// Every unit must be taken at the end.
    pub sold_out: bool,
    /// Smallest share of the stock that buyers have in the end who came by the page.
    pub honest_share_min: Option<f64>,
    /// Fewest distinct orders confirmed to clients.
    pub confirmed_min: Option<u64>,
    /// Median of all answers, from the intended start.
    pub p50_ms_max: Option<f64>,
    /// 99th percentile of all answers, from the intended start.
    pub p99_ms_max: Option<f64>,
    /// 99.9th percentile of all answers, from the intended start.
    pub p999_ms_max: Option<f64>,
    /// 99th percentile of what readers looked at, from the intended start.
    pub views_p99_ms_max: Option<f64>,
    /// Largest share of requests answered 503 or not answered at all.
    pub unavailable_share_max: Option<f64>,
    /// Most clients that ran out of patience without a definite answer.
    pub given_up_max: Option<u64>,
    /// Most answers that this system should never give (5xx other than 503, answers
    /// that cannot be read, 4xx a correct client does not earn).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexpected_max: Option<u64>,
    /// Smallest achieved share of the offered requests.
    pub achieved_share_min: Option<f64>,
    /// Longest time from opening until the last unit was confirmed.
    pub sold_out_within_ms: Option<u64>,
    /// Longest time after the load until every order is in the order store.
    pub stored_within_ms: Option<u64>,
    /// Shortest standing backlog: below it a drain would say nothing.
    pub backlog_min: Option<u64>,
    /// Fewest records a second the order store takes while the longest backlog shrinks to
    /// a tenth, with the load running.
    pub drained_per_second_min: Option<u64>,
    /// Longest time from a restarted server's start until it confirms again.
    pub serving_again_within_ms: Option<u64>,
    /// Longest time from the death of a node until each item that was sold on was confirmed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_over_within_ms: Option<u64>,
    /// The same, for the median of several deaths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_over_median_within_ms: Option<u64>,
    /// Longest time in which an item confirmed nothing though buyers waited whom it confirmed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_pause_ms_max: Option<u64>,
    /// Smallest share of the confirmed orders that each node has to have decided, by the owners of shards
    /// when the load began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_share_min: Option<f64>,
    /// Fewest requests that nodes had others decide, as a share of all answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_on_share_min: Option<f64>,
    /// Largest resident memory of the server in MiB.
    pub memory_mib_max: Option<f64>,
    /// 99th percentile of the generator's own lateness: beyond it the figures say more
    /// about the generator than about the server.
    pub generator_lateness_p99_ms_max: Option<f64>,
}

impl Scenario {
    /// Units on sale over all items.
    #[must_use]
    pub fn stock(&self) -> u64 {
        u64::from(self.sale.items) * self.sale.allotted
    }

    /// How many nodes join while the load runs.
    #[must_use]
    pub fn joins(&self) -> u32 {
        let joins = self.fault.iter().filter(|fault| fault.what == FaultKind::NodeJoins);
        u32::try_from(joins.count()).unwrap_or(u32::MAX)
    }
}

impl Generator {
    /// How long a request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
