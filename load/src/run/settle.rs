//! After the load: wait until every order is in the order store, read the counters, stop
//! the server in good order, let it audit itself, and compare all of it with what the
//! clients were told.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use domain::OrderStatus;
use domain::invariants::Invariant;
use hyper::Method;
use serde::Serialize;
use serde_json::Value;

use super::observed::Observed;
use super::options::Remote;
use crate::audit::{ClientView, ItemStanding, Rules, StoredOrder, Verdict, compare};
use crate::drive::Crowd;
use crate::scenario::Scenario;
use crate::stage::{Api, Backends, BacklogReader, Nodes, OpenSale, OrderStore};
use crate::{Error, Result};

/// Longest wait for the order store to hold everything, unless the scenario says.
const STORED_WAIT_MAX: Duration = Duration::from_secs(120);
/// Once every order is there, later events of orders may take this much longer.
const EVENTS_WAIT_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Most orders read back one by one from a server whose order store is out of reach.
const READ_BACK_MAX: usize = 20_000;

/// What was found after the load.
#[derive(Debug)]
pub struct Settled {
    /// Clients' view against counters against order store.
    pub verdict: Verdict,
    /// The server's counters at the end.
    pub standings: Vec<ItemStanding>,
    /// From the last answer until every confirmed order was in the order store, or, for a server
    /// that is not ours, until it said so;
    /// `None` if that was not seen.
    pub stored_after: Option<Duration>,
    /// How many calls nodes have answered each other; `None` for a server that is not ours, and for one alone.
    pub handed_on: Option<u64>,
    /// The engine's own audit; `None` for a server that is not ours.
    pub engine_audit: Option<EngineAudit>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
}

/// The verdict of `seckill audit`.
#[derive(Debug, Clone, Serialize)]
pub struct EngineAudit {
    /// Its exit code was 0.
    pub passed: bool,
    /// What it printed.
    pub printed: Value,
}

impl EngineAudit {
    /// What it found broken, in its words; all that it printed where that is no verdict.
    #[must_use]
    pub fn broken(&self) -> String {
        let text = |check: &Value, name: &str| {
            check.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let checks = self.printed.get("checks").and_then(Value::as_array);
        let broken: Vec<String> = checks
            .into_iter()
            .flatten()
            .filter(|check| text(check, "verdict") == "broken")
            .map(|check| format!("{} broken: {}", text(check, "invariant"), text(check, "detail")))
            .collect();
        if broken.is_empty() { self.printed.to_string() } else { broken.join("; ") }
    }
}

/// Settles a run against an engine of its own, or nodes, and stops it.
///
/// # Errors
/// Returns [`Error`] if counters or order store cannot be read, or the engine does not stop.
pub async fn settle(
    scenario: &Scenario,
    sale: &OpenSale,
    crowd: &Crowd,
    observed: &Observed,
    mut nodes: Nodes,
    backends: &Backends,
) -> Result<Settled> {
    let load_over = Instant::now();
    let wait_max = stored_wait_max(scenario);
    let mut notes = Vec::new();
    let confirmed = distinct(observed);
    let store = OrderStore::open(backends.mysql_url().as_deref(), &nodes.options().data).await?;
    let mut stored_after = None;
    while load_over.elapsed() < wait_max {
        if store.count().await? >= confirmed.len() as u64 {
            stored_after = Some(load_over.elapsed());
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    if stored_after.is_none() {
        let seconds = wait_max.as_secs();
        notes.push(format!("the order store did not hold every order after {seconds} s"));
    }
    let looking = Instant::now();
    let (standings, mut verdict) = loop {
        let standings = match Api::standings(&nodes.addresses(), &sale.items).await {
            Ok(standings) => standings,
            Err(error) => return Err(nodes.exit_error().unwrap_or(error)),
        };
        let stored = store.read(crowd).await?;
        let verdict = judge(scenario, observed, &standings, Some(&stored.orders));
        // What is missing now has been waited for; what is only behind gets a little longer.
        if verdict.is_clean()
            || stored_after.is_none()
            || looking.elapsed() > wait_max.min(EVENTS_WAIT_MAX)
        {
            break (standings, verdict);
        }
        tokio::time::sleep(LOOK_EVERY * 4).await;
    };
    let handed_on = if nodes.are_several() { Some(nodes.handed_on().await) } else { None };
    nodes.stop().await?;

    let file = nodes.options().data.with_file_name("confirmations.txt");
    let lines: String = confirmed.iter().map(|order| format!("{order}\n")).collect();
    std::fs::write(&file, lines).map_err(Error::io("writing the confirmations"))?;
    let path = file.to_string_lossy();
    let (printed, status) =
        nodes.options().call(&["audit", "--json", "--confirmations", &path]).await?;
    // Exit codes 0 and 1 are verdicts; anything else means that there is none.
    let parsed = serde_json::from_str(&printed)
        .unwrap_or_else(|_| Value::String(format!("no verdict, {status}: {printed}")));
    if stored_after.is_none() && status.success() && has_all_confirmations(&parsed) {
        verdict.all_are_on_record();
    }
    let engine_audit = Some(EngineAudit { passed: status.success(), printed: parsed });
    Ok(Settled { verdict, standings, stored_after, handed_on, engine_audit, notes })
}

/// True if the engine's audit looked for every confirmation (I3) and found it.
fn has_all_confirmations(audit: &Value) -> bool {
    let confirmed = Invariant::I3.to_string();
    let checks = audit.get("checks").and_then(Value::as_array);
    checks.into_iter().flatten().any(|check| {
        check.get("invariant").and_then(Value::as_str) == Some(confirmed.as_str())
            && check.get("verdict").and_then(Value::as_str) == Some("holds")
    })
}

/// Settles a run against a server that is not ours: its order store and data directory are out
/// of reach, so orders are read back through the API.
///
/// # Errors
/// Returns [`Error`] if the counters cannot be read.
pub async fn settle_remote(
    scenario: &Scenario,
    sale: &OpenSale,
    crowd: &Crowd,
    observed: &Observed,
    remote: &Remote,
) -> Result<Settled> {
    let wait_max = stored_wait_max(scenario);
    let stored_after = backlog_gone(remote, wait_max).await;
    let standings = Api::standings(&remote.addresses, &sale.items).await?;
    let mut api = Api::new(remote.addresses[0]);
    let mut notes = vec![
        "the server is not ours: no order store, no offline audit; orders were read back \
         through the API, and whether all are stored is what its own metrics say"
            .to_owned(),
    ];
    if stored_after.is_none() {
        let seconds = wait_max.as_secs();
        notes.push(format!("the server did not say within {seconds} s that its backlog is gone"));
    }
    let mut seen = HashSet::new();
    let mut orders = Vec::new();
    for confirmation in &observed.record.confirmations {
        if !seen.insert(confirmation.order) {
            continue;
        }
        if orders.len() == READ_BACK_MAX {
            notes.push(format!("only the first {READ_BACK_MAX} orders were read back"));
            break;
        }
        let path = format!("/api/v1/orders/{}", confirmation.order);
        let token = crowd.token(confirmation.user);
        match api.call(Method::GET, &path, Some(token), None).await {
            Ok(order) => orders.extend(read_back(&order, crowd, confirmation.user)),
            Err(Error::Answer { status: 404, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let complete = orders.len() < READ_BACK_MAX;
    let verdict = judge(scenario, observed, &standings, complete.then_some(orders.as_slice()));
    Ok(Settled { verdict, standings, stored_after, handed_on: None, engine_audit: None, notes })
}

/// How long it took until the server's own figure said that nothing waits for its order store.
async fn backlog_gone(remote: &Remote, wait_max: Duration) -> Option<Duration> {
    let load_over = Instant::now();
    let mut reader = BacklogReader::new(&remote.operations);
    while load_over.elapsed() < wait_max {
        if reader.look(0.0).await.is_some_and(|look| look.waiting == 0) {
            return Some(load_over.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn stored_wait_max(scenario: &Scenario) -> Duration {
    scenario.pass.stored_within_ms.map_or(STORED_WAIT_MAX, Duration::from_millis)
}

fn read_back(order: &Value, crowd: &Crowd, user: u32) -> Option<StoredOrder> {
    let text = |name: &str| order.get(name).and_then(Value::as_str);
    let item: u64 = text("item_id")?.parse().ok()?;
    let item = crowd.item_ids().iter().position(|id| *id == item);
    Some(StoredOrder {
        order: text("order_id")?.parse().ok()?,
        user: Some(user),
        item: item.and_then(|item| u32::try_from(item).ok()),
        quantity: order.get("quantity").and_then(Value::as_i64)?,
        status: OrderStatus::from_name(text("status")?)?,
    })
}

fn judge(
    scenario: &Scenario,
    observed: &Observed,
    standings: &[ItemStanding],
    store: Option<&[StoredOrder]>,
) -> Verdict {
    let record = &observed.record;
    let clients = ClientView {
        confirmations: &record.confirmations,
        follow_ups: &record.follow_ups,
        unresolved: &record.unresolved,
    };
    let lasted_seconds = record.last_answer_ns / 1_000_000_000;
    let rules = Rules {
        limit_per_user: scenario.sale.limit_per_user,
        orders_may_expire: u64::from(scenario.sale.payment_window_seconds) <= lasted_seconds + 5,
        must_sell_out: scenario.pass.sold_out,
    };
    compare(clients, standings, store, rules)
}

fn distinct(observed: &Observed) -> HashSet<u64> {
    observed.record.confirmations.iter().map(|confirmation| confirmation.order).collect()
}
