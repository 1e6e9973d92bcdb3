//! Whether a node that joins has the clock of the others: a sale begins at one moment, whichever node is asked.
//!
//! Must not know what becomes of one that has not.

use crate::actors::clock_ahead;
use crate::clock::Clock;
use crate::peers::{Answer, Ask, Links};
use crate::store::registry::NodeRecord;
use domain::ShardId;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long another node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How far a clock may be from another one.
pub(super) const APART_MAX: Duration = Duration::from_secs(1);

/// A clock that is not the others'.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", apart(node, *ahead))]
pub struct ClockApart {
    /// The name of another node.
    node: String,
    /// How far its clock is ahead of this node's at least, in milliseconds.
    ahead: i64,
}

fn apart(node: &str, ahead: i64) -> String {
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {} ms {way} that of node {node}", ahead.unsigned_abs())
}

/// Whether a clock is too far from another one that is so many milliseconds `ahead`.
pub(super) fn is_apart(ahead: i64) -> bool {
    u128::from(ahead.unsigned_abs()) > APART_MAX.as_millis()
}

/// Compares with all nodes that answer.
///
/// # Errors
/// Returns [`ClockApart`] if most of them have another time. Where nobody answers there is nothing to compare with.
pub(super) async fn check(
    links: &Links,
    clock: &Clock,
    nodes: &BTreeMap<String, NodeRecord>,
    own: &str,
) -> Result<(), ClockApart> {
    let others = nodes.iter().filter(|(name, node)| *name != own && node.listens());
    let asked = others.map(async |(name, node)| {
        let (asked_at, deadline) = (clock.now(), Instant::now() + ANSWER_MAX);
        let address = (name.as_str(), node.peer_address.as_str());
        match links.call(address, ShardId(0), &Ask::ReadClock, deadline).await {
            Ok(Answer::Clock(there)) => {
                let ahead = clock_ahead(there, asked_at, clock.now());
                Some(ClockApart { node: name.clone(), ahead })
            }
            _ => None,
        }
    });
    judge(join_all(asked).await.into_iter().flatten().collect())
}

fn judge(mut found: Vec<ClockApart>) -> Result<(), ClockApart> {
    let answered = found.len();
    found.retain(|other| is_apart(other.ahead));
    let are_most = found.len() * 2 > answered;
    match found.into_iter().next() {
        Some(other) if are_most => Err(other),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_that_most_of_the_others_disagree_with() {
        let judged = |ahead: &[i64]| {
            let found =
                ahead.iter().map(|ahead| ClockApart { node: "a".to_owned(), ahead: *ahead });
            judge(found.collect()).map_err(|apart| apart.to_string())
        };
        assert_eq!(judged(&[]), Ok(()), "the first node");
        assert_eq!(judged(&[1_000, -1_000]), Ok(()));
        let behind = "this machine's clock is 1001 ms behind that of node a".to_owned();
        assert_eq!(judged(&[1_001]), Err(behind));
        assert_eq!(judged(&[600_000, 0]), Ok(()), "it is the other one's that is wrong");
        let ahead = "this machine's clock is 600000 ms ahead of that of node a".to_owned();
        assert_eq!(judged(&[0, -600_000, -600_000]), Err(ahead));
    }
}
