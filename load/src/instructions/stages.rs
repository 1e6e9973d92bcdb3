//! Which stage of a purchase a piece of code belongs to.

use super::profile::Place;

/// A stage of a purchase's way, or what runs beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reading the request, and writing its answer: HTTP, sockets, JSON.
    Edge,
    /// Who asks, and whether they may: tokens, limits, risk.
    Admission,
    /// On the way to the item's owner and back: gate, mailbox, permits, reply; but for the waking itself.
    Mailbox,
    /// What the owner decides.
    Decision,
    /// Making it durable.
    Journal,
    /// Whether it is traced, which nobody asked for here.
    Traces,
    /// Waking and running tasks and actors.
    Runtime,
    /// Allocating and copying, for all of them.
    Memory,
    /// What brings the order store and the other servers up to date, behind the sale.
    Behind,
    /// What is told of no stage.
    Other,
}

/// The stages in the order of a purchase's way.
pub const STAGES: [Stage; 10] = [
    Stage::Edge,
    Stage::Admission,
    Stage::Mailbox,
    Stage::Decision,
    Stage::Journal,
    Stage::Traces,
    Stage::Runtime,
    Stage::Memory,
    Stage::Behind,
    Stage::Other,
];

impl Stage {
    /// In words, for a table.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Edge => "edge: HTTP, sockets, JSON",
            Self::Admission => "admission: token, limits, risk",
            Self::Mailbox => "mailbox: gate, queue, reply",
            Self::Decision => "decision",
            Self::Journal => "journal",
            Self::Traces => "traces, switched off",
            Self::Runtime => "runtime: waking and running tasks",
            Self::Memory => "memory: allocating and copying",
            Self::Behind => "behind the sale",
            Self::Other => "other",
        }
    }

    /// Whether none of it is done for what runs behind the sale: allocating, waking and what is told of no stage are
    /// shared with that.
    #[must_use]
    pub fn is_of_the_purchase_alone(self) -> bool {
        !matches!(self, Self::Runtime | Self::Memory | Self::Behind | Self::Other)
    }

    /// Whether the buyer waits for it.
    #[must_use]
    pub fn is_on_the_way(self) -> bool {
        self != Self::Behind
    }
}

/// Parts of a file's or a function's name, and the stage that they tell. The first that fits counts: what is
/// special stands before what is general.
const TOLD_BY: [(Stage, &[&str]); 10] = [
    (Stage::Traces, &["telemetry/traces", "telemetry::traces", "edge/traced", "edge::traced"]),
    (
        Stage::Behind,
        &[
            "sqlite3",
            "libsqlite3",
            "sqlx",
            "actors/pipeline",
            "actors::pipeline",
            "store/orders",
            "store::orders",
            "store/checkpoint",
            "store::checkpoint",
            "store/catalogue",
            "store::catalogue",
            "store/broker",
            "store::broker",
            "actors/events",
            "actors::events",
            "actors/webhooks",
            "actors::webhooks",
            // Figures, at their own times.
            "actors/status",
            "actors::status",
            "actors/transfers",
            "actors::transfers",
            "shard/figures",
            "shard::figures",
            "http/pages",
            "http::pages",
            // What SQLite's client is built on.
            "flume",
            "foldhash::hash_bytes",
            "hashlink",
            "try_stream",
            "vdbe",
            "btree",
            "pager",
        ],
    ),
    // How all actors and tasks are woken, those behind the sale with them.
    (Stage::Runtime, &["ractor", "oneshot", "mio-", "mio::"]),
    (
        Stage::Admission,
        &[
            "http/auth",
            "http::auth",
            "http/limits",
            "http::limits",
            "http/risk",
            "http::risk",
            "http/admit",
            "http::admit",
            "http/buy_token",
            "http::buy_token",
            "hmac",
            "sha2",
            "digest",
            "base64",
        ],
    ),
    (Stage::Journal, &["store/journal", "store::journal", "crc32c"]),
    (Stage::Decision, &["domain/src", "domain::", "shard/processor", "shard::processor"]),
    (Stage::Mailbox, &["src/actors", "seckill::actors"]),
    (
        Stage::Edge,
        &[
            "src/http",
            "seckill::http",
            "src/listening",
            "seckill::listening",
            "hyper",
            "http::",
            "httparse",
            "httpdate",
            "axum",
            "tower",
            "matchit",
            "serde",
            "itoa",
            "ryu",
            "/bytes-",
            "bytes::",
            "tokio::net",
            "core::fmt",
            "core::str::",
            "alloc::str::",
            "alloc::string::",
            "percent_encoding",
        ],
    ),
    (
        Stage::Memory,
        &[
            "malloc",
            "calloc",
            "realloc",
            "free",
            "memcpy",
            "memmove",
            "memset",
            "memcmp",
            "alloc",
            "mi_",
            "drop_in_place",
            "raw_vec",
        ],
    ),
    (
        Stage::Runtime,
        &[
            "tokio",
            "parking_lot",
            "futures",
            "pthread",
            "syscall",
            "epoll",
            "clock_gettime",
            "std::sys",
            "std::time",
            "std::thread",
            "crossbeam",
            "tracing",
            "lll_",
            "futex",
        ],
    ),
];

/// The stage that instructions belong to: by the file that the code was written in, and where the compiler did not
/// say by the function.
#[must_use]
pub fn stage_of(place: &Place) -> Stage {
    let told_by = |name: &str| {
        let told = TOLD_BY.iter().find(|(_, parts)| parts.iter().any(|part| name.contains(part)));
        told.map(|(stage, _)| *stage)
    };
    let is_own = place.file.contains("src/") && !place.file.contains("/rustc/");
    let by_file = is_own.then(|| told_by(&place.file)).flatten();
    by_file.or_else(|| told_by(&place.function)).unwrap_or(Stage::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_of_the_file_it_was_written_in() {
        let stage = |file: &str, function: &str| {
            stage_of(&Place { file: file.to_owned(), function: function.to_owned() })
        };
        let poll = "seckill::http::purchase::buy::{{closure}}";
        assert_eq!(stage("/build/src/http/purchase.rs", poll), Stage::Edge);
        assert_eq!(stage("/build/src/telemetry/traces/hops.rs", poll), Stage::Traces);
        assert_eq!(stage("/build/src/actors/gate.rs", poll), Stage::Mailbox);
        assert_eq!(stage("/build/src/actors/pipeline/consumer.rs", poll), Stage::Behind);
        assert_eq!(stage("/build/crates/domain/src/stock/buy.rs", poll), Stage::Decision);
        assert_eq!(stage("/rustc/abc/library/core/src/ptr/mod.rs", poll), Stage::Edge);
        assert_eq!(stage("???", "sha2::sha256::compress256"), Stage::Admission);
        assert_eq!(stage("???", "malloc"), Stage::Memory);
        assert_eq!(stage("???", "sqlite3VdbeExec"), Stage::Behind);
        assert_eq!(
            stage("???", "ractor::actor::ActorRuntime<seckill::actors::shard::Shard>::start"),
            Stage::Runtime
        );
        assert_eq!(stage("???", "<S as futures_core::stream::Stream>::poll_next"), Stage::Runtime);
        assert_eq!(stage("???", "foldhash::hash_bytes_medium"), Stage::Behind);
        let hashing = "core::hash::BuildHasher::hash_one";
        assert_eq!(stage("/foldhash-0.2.0/src/fast.rs", hashing), Stage::Other, "the stock's too");
        assert_eq!(stage("???", "<tokio::runtime::task::Harness>::poll"), Stage::Runtime);
        assert_eq!(stage("???", "a_name"), Stage::Other);
    }
}
