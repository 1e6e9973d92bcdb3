//! A look at each other node, again and again: whether it answers this one, and what time it is there.
//!
//! A node that nobody reaches, or that reaches nobody, is in the registry all the same; only who asks it learns of that,
//! and not its buyers first. Must not know what is made of it.

use super::directory::ClusterNode;
use super::engine::Engine;
use super::remote::{ANY_SHARD, Remote};
use super::shard::effects::NotDelivered;
use crate::clock::Clock;
use crate::peers::{Answer, Ask};
use domain::Timestamp;
use futures_util::future::join_all;
use std::time::Duration;

/// How long another node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How another node was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenPeer {
    /// The node's name.
    pub name: String,
    /// Whether it serves a shard, as far as the registry has said.
    pub is_owner: bool,
    /// Whether it answered.
    pub answers: bool,
    /// How far its clock is ahead of this node's at least, in milliseconds; below zero if it is behind. None if it
    /// did not say.
    pub clock_ahead: Option<i64>,
}

impl Engine {
    /// Asks each other node that listens for peers how it is, all at once, and waits for a second at the longest. None
    /// if this node asks no others.
    pub async fn look_at_peers(&self) -> Vec<SeenPeer> {
        let Some(remote) = self.remote() else { return Vec::new() };
        let owners = remote.directory.others_that_serve();
        let is_owner = |node: &ClusterNode| owners.iter().any(|owner| owner.name == node.name);
        let others = remote.directory.others_that_listen();
        let seen = join_all(others.iter().map(async |node| {
            let (answers, clock_ahead) = look(remote, node, &self.clock()).await;
            let name = node.name.clone();
            SeenPeer { name, is_owner: is_owner(node), answers, clock_ahead }
        }));
        let seen = seen.await;
        let silent = seen.iter().filter(|peer| !peer.answers).map(|peer| peer.name.clone());
        remote.note_silent(silent.collect());
        seen
    }
}

/// Whether the node answers, and how far its clock is ahead of this one.
async fn look(remote: &Remote, node: &ClusterNode, clock: &Clock) -> (bool, Option<i64>) {
    let asked_at = clock.now();
    match remote.ask_node(node, ANY_SHARD, &Ask::ReadClock, ANSWER_MAX).await {
        Ok(Answer::Clock(there)) => (true, Some(ahead(there, asked_at, clock.now()))),
        // It has much to do, or is of a version that does not know the question.
        Ok(_) | Err(NotDelivered::Overloaded) => (true, None),
        Err(_) => (false, None),
    }
}

/// How far a clock is ahead at least that showed `there` at some moment between two of this node's: 0 if it may have
/// shown the same.
pub fn ahead(there: Timestamp, from: Timestamp, to: Timestamp) -> i64 {
    let there = there.0.cast_signed();
    let (from, to) = (from.0.cast_signed(), to.0.cast_signed());
    there - there.clamp(from, to.max(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_only_by_what_the_question_cannot_have_taken() {
        let ahead = |there| ahead(Timestamp(there), Timestamp(1_000), Timestamp(1_400));
        assert_eq!([999, 1_000, 1_200, 1_400, 1_401].map(ahead), [-1, 0, 0, 0, 1]);
    }
}
