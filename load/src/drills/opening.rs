//! How the shop of a drill is opened: what it sells to whom, the servers behind it, and its settings.

use std::collections::BTreeMap;
use std::path::Path;

use harness::SmallDisk;

use super::setting::Setting;
use crate::scenario::{
    Afterwards, Backend, Criteria, Generator, Guard, Mix, People, Retry, Sale, Scenario, Server,
};
use crate::stage::Backends;
use crate::{Error, Result};

/// In which no order of a drill expires.
pub const PAYMENT_WINDOW_SECONDS: u32 = 86_400;

/// How a shop is opened.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// The program, if it is not the setting's.
    pub binary: Option<&'a Path>,
    /// Items that people want; there is one more.
    pub items: u32,
    /// Units of each.
    pub allotted: u64,
    /// Most units of one user.
    pub limit: u32,
    /// Users.
    pub users: u32,
    /// How the items are guarded.
    pub guard: Option<Guard>,
    /// Private servers behind it, each behind a proxy.
    pub backends: &'a [Backend],
    /// More lines of rabbitmq.conf.
    pub broker_settings: &'a str,
    /// Settings as `SECTION__KEY`.
    pub environment: &'a [(&'a str, &'a str)],
    /// The data directory is a small disk of this size.
    pub disk: Option<&'a str>,
}

impl Default for Opening<'_> {
    fn default() -> Self {
        Self {
            binary: None,
            items: 3,
            allotted: 1_000_000,
            limit: 10_000,
            users: 1_000,
            guard: None,
            backends: &[],
            broker_settings: "",
            environment: &[],
            disk: None,
        }
    }
}

/// A small disk of this size below the data directory.
pub fn mount(home: &Path, size: Option<&str>) -> Result<Option<SmallDisk>> {
    let Some(size) = size else { return Ok(None) };
    let data = home.join("data");
    std::fs::create_dir_all(&data).map_err(Error::io("making the data directory"))?;
    let disk = SmallDisk::mount_on(&data, size).ok_or_else(|| Error::Missing {
        what: "a small disk".to_owned(),
        remedy: "only root can mount one".to_owned(),
    })?;
    Ok(Some(disk))
}

/// The engine's settings: those of every drill, of the run, of the servers, and of this drill.
pub fn environment(
    setting: &Setting,
    opening: &Opening<'_>,
    backends: &Backends,
) -> BTreeMap<String, String> {
    let common = [
        ("ENGINE__SHARDS", "4"),
        ("JOURNAL__SEGMENT_BYTES", "16777216"),
        ("JOURNAL__SEGMENTS_AHEAD", "1"),
        ("CHECKPOINT__INTERVAL_MS", "200"),
        ("TOKENS__TTL_SECONDS", "86400"),
        // What is tried are the engine and its stores, by buyers who do not wait.
        ("LIMITS__USER_PER_S", "0"),
    ];
    let named = |(key, value): &(&str, &str)| (format!("SECKILL__{key}"), (*value).to_owned());
    let mut environment: BTreeMap<_, _> = common.iter().map(named).collect();
    environment.extend(setting.environment.clone());
    environment.extend(backends.environment());
    environment.extend(opening.environment.iter().map(named));
    environment
}

/// The sale and the people of a drill, as a scenario has them.
pub fn scenario(setting: &Setting, opening: &Opening<'_>, users: u32) -> Scenario {
    let sale = Sale {
        items: opening.items + 1,
        allotted: opening.allotted,
        buckets: 1,
        limit_per_user: opening.limit,
        payment_window_seconds: PAYMENT_WINDOW_SECONDS,
        opens_after_ms: 0,
        guard: opening.guard,
    };
    let afterwards = Afterwards { pay: 0.3, cancel: 0.1, pay_late: 0.0, think_ms: [10, 200] };
    let (mix, retry) = (Mix::default(), Retry::default());
    Scenario {
        name: "drill".to_owned(),
        title: "A drill".to_owned(),
        about: String::new(),
        seed: setting.seed,
        server: Server::default(),
        sale,
        people: People { users, hot_share: 0.0, mix, afterwards, retry },
        generator: Generator::default(),
        load: Vec::new(),
        fault: Vec::new(),
        pass: Criteria {
            stored_within_ms: Some(setting.of(20_000, 90_000)),
            ..Criteria::default()
        },
    }
}
