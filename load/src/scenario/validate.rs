//! The limits of a scenario. Every run is bounded in people, requests and time, and a
//! file that asks for more is refused with the limit in the message.

use super::faults::{Backend, Fault, FaultKind};
use super::model::{Entry, Scenario};
use crate::plan::SCRIPT_ACCOUNTS;
use crate::schedule::{Phase, Schedule};

/// Most distinct users of one run.
pub const USERS_MAX: u32 = 2_000_000;
/// Most arrivals of one run.
pub const ARRIVALS_MAX: u64 = 50_000_000;
/// Longest load of one run in seconds.
pub const SECONDS_MAX: f64 = 4.0 * 3600.0;
/// Highest rate of one phase in requests per second.
pub const RATE_MAX: f64 = 1_000_000.0;
/// Most connections of one run.
pub const CONNECTIONS_MAX: u32 = 20_000;
/// Most items of one sale.
pub const ITEMS_MAX: u32 = 10_000;
/// Most faults of one run.
pub const FAULTS_MAX: u64 = 1_000;
/// Most nodes of one run: each is a process of this machine.
pub const NODES_MAX: u32 = 9;
/// Most buckets of one item.
pub const BUCKETS_MAX: u32 = 64;
/// Most units of one run: each confirmation is kept for the audit.
pub const STOCK_MAX: u64 = 10_000_000;

/// The first thing that is wrong, as a sentence.
pub fn validate(scenario: &Scenario) -> Result<(), String> {
    texts(scenario)?;
    sale(scenario)?;
    people(scenario)?;
    generator(scenario)?;
    load(scenario)?;
    faults(scenario)?;
    criteria(scenario)
}

fn texts(scenario: &Scenario) -> Result<(), String> {
    let name = &scenario.name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    check(!name.is_empty() && name.len() <= 64 && name.chars().all(plain), || {
        "name must be 1 to 64 lower-case letters, digits and hyphens".to_owned()
    })?;
    check(!scenario.title.is_empty(), || "title must not be empty".to_owned())?;
    for key in scenario.server.environment.keys() {
        check(key.starts_with("SECKILL__"), || {
            format!("server.environment.{key} does not begin with SECKILL__")
        })?;
    }
    Ok(())
}

fn sale(scenario: &Scenario) -> Result<(), String> {
    let sale = &scenario.sale;
    within("sale.items", sale.items.into(), 1, ITEMS_MAX.into())?;
    within("sale.allotted", sale.allotted, 1, STOCK_MAX)?;
    within("sale.items × sale.allotted", scenario.stock(), 1, STOCK_MAX)?;
    within("sale.limit_per_user", sale.limit_per_user.into(), 1, 1_000_000)?;
    within("sale.payment_window_seconds", sale.payment_window_seconds.into(), 1, 86_400)?;
    within("sale.opens_after_ms", sale.opens_after_ms, 0, 600_000)?;
    if let Some(guard) = &sale.guard {
        within("sale.guard.spread_ms", guard.spread_ms.into(), 0, 600_000)?;
    }
    nodes(scenario)?;
    if let Some(shards) = scenario.server.shards {
        within("server.shards", shards.into(), 1, 1024)?;
    }
    within("sale.buckets", sale.buckets.into(), 1, BUCKETS_MAX.into())?;
    check(sale.buckets == 1 || scenario.server.shards >= Some(sale.buckets), || {
        "sale.buckets above 1 needs server.shards of at least as many".to_owned()
    })
}

fn nodes(scenario: &Scenario) -> Result<(), String> {
    let server = &scenario.server;
    within("server.nodes", server.nodes.into(), 1, NODES_MAX.into())?;
    let has = |backend| server.backends.contains(&backend);
    let shares = has(Backend::Redis) && has(Backend::Mysql) && !has(Backend::Rabbitmq);
    check(server.nodes == 1 || shares, || {
        "server.nodes above 1 needs redis and mysql in server.backends, and no rabbitmq".to_owned()
    })?;
    check(scenario.joins() <= NODES_MAX - server.nodes, || {
        format!("server.nodes and those that join are more than {NODES_MAX}")
    })?;
    let pass = &scenario.pass;
    for (key, is_set) in [
        ("pass.taken_over_within_ms", pass.taken_over_within_ms.is_some()),
        ("pass.taken_over_median_within_ms", pass.taken_over_median_within_ms.is_some()),
        ("pass.node_share_min", pass.node_share_min.is_some()),
        ("pass.handed_on_share_min", pass.handed_on_share_min.is_some()),
        ("generator.entry \"wrong_node\"", scenario.generator.entry == Entry::WrongNode),
    ] {
        check(server.nodes > 1 || !is_set, || format!("{key} needs server.nodes above 1"))?;
    }
    entry(scenario)
}

/// Those who are to enter at the wrong node have to know the right one, which is looked up once.
fn entry(scenario: &Scenario) -> Result<(), String> {
    let is_wrong = scenario.generator.entry == Entry::WrongNode;
    let moves =
        scenario.fault.iter().any(|fault| fault.what.is_of_server() || fault.what.is_of_nodes());
    check(!is_wrong || !moves, || {
        "generator.entry \"wrong_node\" needs shards that stay: no fault of a node or of etcd"
            .to_owned()
    })?;
    check(!is_wrong || scenario.sale.buckets == 1, || {
        "generator.entry \"wrong_node\" needs sale.buckets of 1: each item has one owner".to_owned()
    })
}

fn people(scenario: &Scenario) -> Result<(), String> {
    let people = &scenario.people;
    within("people.users", people.users.into(), 1, USERS_MAX.into())?;
    share("people.hot_share", people.hot_share)?;
    let mix = &people.mix;
    let weights = [mix.buyer, mix.repeat_clicker, mix.retrier, mix.bot, mix.script, mix.reader];
    check(weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0), || {
        "people.mix has a weight below 0".to_owned()
    })?;
    check(mix.buyer > 0.0, || "people.mix.buyer must be above 0".to_owned())?;
    check(mix.script == 0.0 || people.users > SCRIPT_ACCOUNTS, || {
        format!("people.mix.script needs more than {SCRIPT_ACCOUNTS} people.users")
    })?;
    within("people.retry.early_ms", people.retry.early_ms, 0, 60_000)?;
    let after = &people.afterwards;
    share("people.afterwards.pay", after.pay)?;
    share("people.afterwards.cancel", after.cancel)?;
    share("people.afterwards.pay_late", after.pay_late)?;
    share("people.afterwards: pay + cancel + pay_late", after.pay + after.cancel + after.pay_late)?;
    let [shortest, longest] = after.think_ms;
    check(shortest <= longest && longest <= 600_000, || {
        "people.afterwards.think_ms must be [shortest, longest], at most 600000".to_owned()
    })?;
    check(after.pay_late == 0.0 || scenario.sale.payment_window_seconds <= 60, || {
        "people.afterwards.pay_late needs sale.payment_window_seconds of at most 60".to_owned()
    })?;
    within("people.retry.times", people.retry.times.into(), 0, 100)?;
    within("people.retry.pause_ms", people.retry.pause_ms, 1, 60_000)
}

fn generator(scenario: &Scenario) -> Result<(), String> {
    let generator = &scenario.generator;
    within("generator.connections", generator.connections.into(), 1, CONNECTIONS_MAX.into())?;
    within("generator.timeout_ms", generator.timeout_ms, 10, 120_000)?;
    within("generator.drain_ms_max", generator.drain_ms_max, 0, 600_000)
}

fn load(scenario: &Scenario) -> Result<(), String> {
    check(!scenario.load.is_empty() && scenario.load.len() <= 100, || {
        "load needs 1 to 100 phases".to_owned()
    })?;
    for (number, phase) in scenario.load.iter().enumerate() {
        let name = |what: &str| format!("load[{number}].{what}");
        match phase {
            Phase::Constant { rate, seconds } => {
                amount(&name("rate"), *rate, RATE_MAX)?;
                amount(&name("seconds"), *seconds, SECONDS_MAX)?;
            }
            Phase::Ramp { from, to, seconds } => {
                check(*from >= 0.0, || format!("{} must not be below 0", name("from")))?;
                amount(&name("from + to"), from + to, RATE_MAX)?;
                check(*to >= 0.0, || format!("{} must not be below 0", name("to")))?;
                amount(&name("seconds"), *seconds, SECONDS_MAX)?;
            }
            Phase::Burst { arrivals, seconds } => {
                within(&name("arrivals"), *arrivals, 1, ARRIVALS_MAX)?;
                amount(&name("seconds"), *seconds, SECONDS_MAX)?;
            }
            Phase::Silence { seconds } => amount(&name("seconds"), *seconds, SECONDS_MAX)?,
            Phase::Recorded { .. } => {}
        }
    }
    let schedule = Schedule::new(&scenario.load)?;
    within("arrivals of all phases", schedule.arrivals(), 1, ARRIVALS_MAX)?;
    amount("seconds of all phases", schedule.duration().as_secs_f64(), SECONDS_MAX)
}

/// Refuses more faults than a run may have; those that happen several times count as often.
pub fn faults_are_few(faults: &[Fault]) -> Result<(), String> {
    let times: u64 = faults.iter().map(|fault| u64::from(fault.times)).sum();
    check(times <= FAULTS_MAX, || format!("at most {FAULTS_MAX} faults"))
}

fn faults(scenario: &Scenario) -> Result<(), String> {
    let end_ms = Schedule::new(&scenario.load)?.duration().as_millis();
    let mut previous_end_ms = 0;
    for (number, fault) in scenario.fault.iter().enumerate() {
        let kind = fault.what;
        check(u128::from(fault.at_ms) < end_ms, || {
            format!("fault[{number}].at_ms lies after the end of the load ({end_ms} ms)")
        })?;
        check(fault.at_ms >= previous_end_ms, || {
            format!("fault[{number}] begins before the one before it has ended")
        })?;
        within(&format!("fault[{number}].for_ms"), fault.for_ms, 0, 600_000)?;
        previous_end_ms = fault.at_ms + fault.for_ms;
        check(!kind.is_of_nodes() || scenario.server.nodes > 1, || {
            format!("fault[{number}] ({}) needs server.nodes above 1", kind.words())
        })?;
        check(kind != FaultKind::NodeJoins || fault.for_ms == 0, || {
            format!("fault[{number}] (joins) is for good, and has no for_ms")
        })?;
        if let Some(backend) = kind.backend() {
            check(scenario.server.backends.contains(&backend), || {
                format!("fault[{number}] ({}) needs {backend:?} in server.backends", kind.words())
            })?;
        }
        let slow = kind.is_slow();
        check(slow == (fault.delay_ms > 0), || {
            format!("fault[{number}].delay_ms belongs to the slow faults, and they need it")
        })?;
        within(&format!("fault[{number}].delay_ms"), fault.delay_ms, 0, 60_000)?;
    }
    Ok(())
}

fn criteria(scenario: &Scenario) -> Result<(), String> {
    if let Some(share_min) = scenario.pass.honest_share_min {
        share("pass.honest_share_min", share_min)?;
    }
    let pass = &scenario.pass;
    for (name, value) in [
        ("unavailable_share_max", pass.unavailable_share_max),
        ("achieved_share_min", pass.achieved_share_min),
        ("node_share_min", pass.node_share_min),
    ] {
        share(&format!("pass.{name}"), value.unwrap_or(0.0))?;
    }
    for (name, value) in [
        ("p50_ms_max", pass.p50_ms_max),
        ("p99_ms_max", pass.p99_ms_max),
        ("p999_ms_max", pass.p999_ms_max),
        ("views_p99_ms_max", pass.views_p99_ms_max),
        ("item_pause_ms_max", pass.item_pause_ms_max.map(|most| most as f64)),
        ("handed_on_share_min", pass.handed_on_share_min),
        ("memory_mib_max", pass.memory_mib_max),
        ("generator_lateness_p99_ms_max", pass.generator_lateness_p99_ms_max),
    ] {
        amount(&format!("pass.{name}"), value.unwrap_or(1.0), 1e9)?;
    }
    check(pass.confirmed_min.unwrap_or(0) <= ARRIVALS_MAX, || {
        "pass.confirmed_min is more than a run can make".to_owned()
    })?;
    let restarts = scenario.fault.iter().any(|fault| fault.what.is_of_server());
    check(pass.serving_again_within_ms.is_none() || restarts, || {
        "pass.serving_again_within_ms needs a fault of the server".to_owned()
    })
}

fn check(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    check((least..=most).contains(&value), || {
        format!("{name} is {value}; it must be {least} to {most}")
    })
}

fn share(name: &str, value: f64) -> Result<(), String> {
    check((0.0..=1.0).contains(&value), || format!("{name} is {value}; it must be 0 to 1"))
}

fn amount(name: &str, value: f64, most: f64) -> Result<(), String> {
    check(value > 0.0 && value <= most, || {
        format!("{name} is {value}; it must be above 0 and at most {most}")
    })
}
