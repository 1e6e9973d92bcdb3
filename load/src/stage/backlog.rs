//! How far the order store is behind the sale, as the server itself counts it.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use serde::Serialize;

use super::Api;

/// A server that is down, frozen or busy is looked at again later.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// How far the order store was behind at one look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Backlog {
    /// Seconds since the load began.
    pub at_seconds: f64,
    /// Records that are durable and not yet in the order store.
    pub waiting: u64,
    /// Records the order store has taken since the server's start.
    pub stored: u64,
}

/// How fast a backlog was worked off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drain {
    /// The longest backlog.
    pub waiting_max: u64,
    /// From the longest backlog until a tenth of it, in seconds.
    pub seconds: f64,
    /// Records the order store took in that time, those that came meanwhile included.
    pub stored: u64,
}

/// Reads the server's own figures.
pub struct BacklogReader(Vec<Api>);

impl BacklogReader {
    /// A reader of the servers at these addresses, which are one shop.
    #[must_use]
    pub fn new(addresses: &[SocketAddr]) -> Self {
        let api = |address: &SocketAddr| Api::with_timeout(*address, ANSWER_WAIT_MAX);
        Self(addresses.iter().map(api).collect())
    }

    /// Looks now, at all that answer together; `None` if none does.
    pub async fn look(&mut self, at_seconds: f64) -> Option<Backlog> {
        let mut whole: Option<Backlog> = None;
        for api in &mut self.0 {
            if api.order(Method::GET, "/metrics", None, None).await.is_err() {
                continue;
            }
            let text = String::from_utf8_lossy(api.body());
            let Some(waiting) = figure(&text, "seckill_backlog_records") else { continue };
            // Not there before the first record.
            let stored = figure(&text, "seckill_stored_records_total").unwrap_or(0);
            let sum = whole.get_or_insert(Backlog { at_seconds, waiting: 0, stored: 0 });
            sum.waiting += waiting;
            sum.stored += stored;
        }
        whole
    }
}

impl Drain {
    /// How the longest backlog was worked off; `None` if it was not.
    #[must_use]
    pub fn of(looks: &[Backlog]) -> Option<Self> {
        let most = looks.iter().max_by_key(|look| look.waiting).filter(|look| look.waiting > 0)?;
        let after = looks.iter().filter(|look| look.at_seconds > most.at_seconds);
        let low = after.clone().find(|look| look.waiting <= most.waiting / 10)?;
        Some(Self {
            waiting_max: most.waiting,
            seconds: low.at_seconds - most.at_seconds,
            // A restart sets the counter back; then nothing is known.
            stored: low.stored.checked_sub(most.stored)?,
        })
    }

    /// Records a second.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        (self.stored as f64 / self.seconds.max(1e-3)) as u64
    }
}

/// The value of a figure without labels in Prometheus' text form.
pub fn figure(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.trim().parse::<f64>().ok()? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_seconds: f64, waiting: u64, stored: u64) -> Backlog {
        Backlog { at_seconds, waiting, stored }
    }

    #[test]
    fn a_drain_goes_from_the_longest_backlog_to_a_tenth_of_it() {
        let mut looks = vec![look(1.0, 10, 0), look(2.0, 1_000, 50), look(3.0, 400, 700)];
        assert_eq!(Drain::of(&looks), None);
        looks.push(look(4.0, 90, 1_100));
        looks.push(look(5.0, 0, 1_200));
        let drain = Drain::of(&looks);
        assert_eq!(drain, Some(Drain { waiting_max: 1_000, seconds: 2.0, stored: 1_050 }));
        assert_eq!(drain.map(|drain| drain.per_second()), Some(525));
        assert_eq!(Drain::of(&[look(1.0, 0, 0)]), None);
    }

    #[test]
    fn figures_are_found_by_their_whole_name() {
        let text = "# TYPE a gauge\nseckill_a_total 7\nseckill_a 5\n";
        assert_eq!(figure(text, "seckill_a"), Some(5));
        assert_eq!(figure(text, "seckill"), None);
    }
}
