//! What the state of a dependency means for the sale: a case with its values, so that it can be said in
//! any language.
//!
//! [`Display`](fmt::Display) says it in English, for logs and for readiness. Must not know who reads it.

use domain::{ItemId, Timestamp, rfc3339};
use std::fmt;

/// Items that a message names; the others are counted.
const ITEMS_NAMED_MAX: usize = 5;

/// What a dependency's state means for the sale. Texts in it are errors and places, as they were told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// The journal works.
    JournalWorks,
    /// A write of the journal failed.
    JournalFailed,
    /// What the journal had made durable cannot be read back from this place.
    JournalDamaged(String),
    /// No room can be made ready beyond the present segment, because of this.
    JournalNearlyFull(String),
    /// The journal has no room, because of this.
    JournalFull(String),
    /// The log that the journal is kept in confirms nothing, because of this.
    JournalUnreachable(String),
    /// The wall clock and the sale's agree.
    ClockAgrees,
    /// The wall clock is so many seconds ahead of the sale's, or behind it if negative.
    ClockDrifts(i64),
    /// The background tasks run.
    TasksRun,
    /// These tasks ended within the last minute, each with how often it was run again.
    TasksEnded(Vec<(&'static str, u32)>),
    /// The files of the data directory that a start reads are there.
    DirectoryWhole,
    /// They are not, and cannot be put back, because of this.
    DirectoryUnusable(String),
    /// Checkpoints are written.
    CheckpointsWork,
    /// Checkpoints cannot be written, because of this.
    CheckpointsLate(String),
    /// The checkpoints there are another shop's.
    CheckpointsForeign(String),
    /// There is no broker: records go to the consumer within the process.
    BrokerAbsent,
    /// The broker takes and gives records.
    BrokerWorks,
    /// The broker cannot be written to.
    BrokerAway(String),
    /// The broker cannot be read from.
    BrokerUnread(String),
    /// The broker gave a message back.
    BrokerRefuses(String),
    /// The broker takes no messages at present, and says why.
    BrokerBlocks(String),
    /// Events are told, and the receiver confirms them.
    EventsTold,
    /// Events wait in the journal, because of this.
    EventsWait(String),
    /// So many records were deleted from the journal before the receiver had confirmed what they tell.
    EventsLost(u64),
    /// The order store takes records.
    OrdersArrive,
    /// The order store does not answer.
    OrdersWait(String),
    /// The order store did not take a batch, which is tried again.
    OrdersTriedAgain(String),
    /// Records are missing in the order store and are sent again.
    OrdersRefilled,
    /// Records are missing in the order store that the journal has no longer.
    OrdersLackRecords {
        /// How many records.
        lost: u64,
        /// A shard that lacks some.
        shard: usize,
        /// Its last record that is stored.
        stored: u64,
        /// The record behind which its journal begins.
        base: u64,
    },
    /// So many rows are gone from the order store that the journal has no longer.
    OrdersLackRows(u64),
    /// The order store's replica takes what that has, and lists are read from it.
    ReplicaFollows,
    /// The replica takes nothing, and lacks so many records.
    ReplicaStands(u64),
    /// The replica does not answer, or is none of this order store, because of this.
    ReplicaAway(String),
    /// The catalogue knows what the shards sell.
    CatalogueWhole,
    /// The catalogue does not know these items.
    CatalogueLacks(Vec<ItemId>),
    /// The catalogue does not answer, because of this.
    CatalogueAway(String),
    /// Every shard of the cluster is served, so many of them here, by so many nodes.
    ClusterWhole {
        /// Shards that are served here.
        served: usize,
        /// Shards in all.
        shards: u16,
        /// Nodes that live.
        nodes: usize,
    },
    /// So many shards are served by nobody.
    ClusterLacksOwners {
        /// Shards without an owner.
        unowned: usize,
        /// Shards in all.
        shards: u16,
    },
    /// So many buckets of items that are sold here too are at nodes that do not answer.
    ClusterLacksBuckets(usize),
    /// These nodes, which serve shards, do not answer this one.
    ClusterOwnersSilent(Vec<String>),
    /// The clock of a node is not this one's.
    ClusterClocksApart {
        /// The node's name.
        node: String,
        /// How far its clock is ahead at least, in milliseconds; below zero if it is behind.
        ahead: i64,
    },
    /// The registry of the nodes was last read so many seconds ago, or this node's session has ended.
    ClusterAway(u64),
    /// What operators changed while the shop runs holds.
    SettingsHold,
    /// Settings that are not as they may be are kept out, for this reason; those of before hold.
    SettingsRefused(String),
    /// The file of settings was read again and is kept out, for this reason; what it said before holds.
    SettingsFileRefused(String),
    /// The certificate that was read last is presented.
    CertificateHolds,
    /// The certificate was read again and is kept out, for this reason; the one of before is presented.
    CertificateRefused(String),
    /// The certificate that is presented was valid until then: browsers refuse it.
    CertificateExpired(Timestamp),
    /// The process has begun to run and has not asked this yet.
    NotAskedYet,
}

impl Meaning {
    /// The items that a message names, with a word for those beyond the first few, which are given as
    /// a number to `more`.
    pub fn name_items(items: &[ItemId], more: impl FnOnce(usize) -> String) -> String {
        let mut named: Vec<String> =
            items.iter().take(ITEMS_NAMED_MAX).map(ToString::to_string).collect();
        if items.len() > ITEMS_NAMED_MAX {
            named.push(more(items.len() - ITEMS_NAMED_MAX));
        }
        named.join(", ")
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JournalWorks
            | Self::JournalFailed
            | Self::JournalDamaged(_)
            | Self::JournalNearlyFull(_)
            | Self::JournalFull(_)
            | Self::JournalUnreachable(_)
            | Self::ClockAgrees
            | Self::ClockDrifts(_)
            | Self::TasksRun
            | Self::TasksEnded(_)
            | Self::DirectoryWhole
            | Self::DirectoryUnusable(_) => self.say_own(out),
            Self::OrdersArrive
            | Self::OrdersWait(_)
            | Self::OrdersTriedAgain(_)
            | Self::OrdersRefilled
            | Self::ReplicaFollows
            | Self::ReplicaStands(_)
            | Self::ReplicaAway(_)
            | Self::OrdersLackRecords { .. }
            | Self::OrdersLackRows(_)
            | Self::CatalogueWhole
            | Self::CatalogueLacks(_)
            | Self::CatalogueAway(_) => self.say_stored(out),
            Self::ClusterWhole { .. }
            | Self::ClusterLacksOwners { .. }
            | Self::ClusterLacksBuckets(_)
            | Self::ClusterOwnersSilent(_)
            | Self::ClusterClocksApart { .. }
            | Self::ClusterAway(_) => self.say_cluster(out),
            Self::SettingsHold
            | Self::SettingsRefused(_)
            | Self::SettingsFileRefused(_)
            | Self::CertificateHolds
            | Self::CertificateRefused(_)
            | Self::CertificateExpired(_) => self.say_reread(out),
            _ => self.say_between(out),
        }
    }
}

impl Meaning {
    /// Says what concerns the process itself.
    fn say_own(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JournalFailed => {
                out.write_str("a write failed: nothing is confirmed any more, the process stops")
            }
            Self::JournalDamaged(place) => write!(
                out,
                "{place}: purchases are refused, and the state in memory goes to the checkpoints; \
                 leave everything as it is and see \"A damaged journal\" in docs/operations.md"
            ),
            Self::JournalNearlyFull(obstacle) => write!(
                out,
                "no room for the next segment ({obstacle}): the sale goes on until this one is full"
            ),
            Self::JournalFull(obstacle) => {
                write!(out, "no room ({obstacle}): purchases are refused")
            }
            Self::JournalUnreachable(why) => {
                write!(out, "{why}: purchases are refused until it confirms again")
            }
            Self::ClockAgrees => out.write_str("the wall clock and the sale's agree"),
            Self::ClockDrifts(seconds) => write!(
                out,
                "the wall clock is {} s {} the sale's, which goes on undisturbed: sales begin and end by \
                 GET /api/v1/time; see \"Clocks\" in docs/operations.md",
                seconds.unsigned_abs(),
                if *seconds < 0 { "behind" } else { "ahead of" }
            ),
            Self::TasksRun => out.write_str("what runs beside the purchases runs"),
            Self::TasksEnded(tasks) => {
                let ended = |(name, restarts): &(&str, u32)| {
                    format!("{name} ended and was run again ({restarts} times)")
                };
                let ended: Vec<String> = tasks.iter().map(ended).collect();
                write!(
                    out,
                    "{}; nothing is lost, but this is a defect: report what the log says",
                    ended.join(", ")
                )
            }
            Self::DirectoryWhole => out.write_str("what the next start needs is there"),
            Self::DirectoryUnusable(error) => write!(
                out,
                "the sale goes on with the files that are open, until the journal needs its next segment; \
                 a restart would be refused: {error}"
            ),
            _ => out.write_str("every confirmation is on disk before it leaves"),
        }
    }

    /// Says what concerns checkpoints and broker, and what was not asked yet.
    fn say_between(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckpointsLate(error) => write!(
                out,
                "the sale goes on and the journal is kept; a restart replays more of it: {error}"
            ),
            Self::CheckpointsForeign(error) => write!(
                out,
                "the sale goes on and the journal is kept; a restart is refused until that is mended: \
                 {error}"
            ),
            Self::BrokerAbsent => out.write_str("records go straight to the consumer"),
            Self::BrokerWorks => out.write_str("orders travel behind the sale"),
            Self::BrokerAway(error) => {
                write!(out, "orders wait in the journal, none is lost: {error}")
            }
            Self::BrokerUnread(error) => {
                write!(out, "orders wait in the broker or the journal: {error}")
            }
            Self::BrokerRefuses(verdict) => {
                write!(out, "the relay's cursor stands, orders wait in the journal: {verdict}")
            }
            Self::BrokerBlocks(reason) => write!(
                out,
                "the broker takes no messages, orders wait in the journal, none is lost: {reason}"
            ),
            Self::EventsTold => out.write_str("what happens is told behind the sale"),
            Self::EventsWait(why) => write!(
                out,
                "events wait in the journal, none is lost up to events.retain_mib; the sale goes on: {why}"
            ),
            Self::EventsLost(records) => write!(
                out,
                "{records} records were deleted from the journal before their events were told, because the \
                 receiver was too far behind; the sale goes on, and the orders themselves are in the order store: \
                 see docs/events.md"
            ),
            Self::NotAskedYet => {
                out.write_str("starting: not asked yet; the sale does not wait for it")
            }
            _ => out.write_str("a restart replays little"),
        }
    }

    /// Says what concerns the nodes of a cluster.
    fn say_cluster(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterWhole { served, shards, nodes } => write!(
                out,
                "every shard is served, {served} of {shards} here; nodes that live: {nodes}"
            ),
            Self::ClusterLacksOwners { unowned, shards } => write!(
                out,
                "{unowned} of {shards} shards are served by no node: their items wait until one has taken \
                 them over; the log says what keeps it"
            ),
            Self::ClusterLacksBuckets(away) => write!(
                out,
                "the nodes of {away} buckets do not answer: the other buckets of their items sell on, \
                 and where these are dry, purchases wait or are answered 503; see docs/buckets.md"
            ),
            Self::ClusterOwnersSilent(nodes) => write!(
                out,
                "this node cannot ask {}: what only they serve it answers 503, and sells the rest on; their \
                 addresses (cluster.advertise), cluster.secret or the network between the nodes are what to look at",
                nodes.join(", ")
            ),
            Self::ClusterClocksApart { node, ahead } => write!(
                out,
                "the clock of node {node} is {} ms {} this one's: sales begin and end earlier or later there; set the \
                 wrong one right and restart that node",
                ahead.unsigned_abs(),
                if *ahead > 0 { "ahead of" } else { "behind" },
            ),
            Self::ClusterAway(seconds) => write!(
                out,
                "etcd was last read {seconds} s ago, or this node's lease has ended: others take over what \
                 it serves; what it confirmed is kept"
            ),
            _ => Ok(()),
        }
    }

    /// Says what concerns what is read again while the shop runs.
    fn say_reread(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateRefused(why) => write!(
                out,
                "kept out, the one of before is presented for as long as it is valid: {why}; mend the files, then send SIGHUP"
            ),
            Self::CertificateExpired(until) => write!(
                out,
                "valid until {} and no longer, so that clients refuse it; put a new one in its place, then send SIGHUP",
                rfc3339::to_string(*until)
            ),
            Self::SettingsRefused(why) => write!(
                out,
                "kept out, those of before hold: {why}; a change over the API or the console takes its place"
            ),
            Self::SettingsFileRefused(why) => write!(
                out,
                "the file is kept out, what it said before holds: {why}; mend it: it is read again as soon as it says something else"
            ),
            Self::CertificateHolds => out.write_str("what was read last is presented"),
            _ => out.write_str("what was changed while the shop runs holds"),
        }
    }

    /// Says what concerns order store and catalogue.
    fn say_stored(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrdersWait(error) => {
                write!(out, "orders wait in the journal, none is lost: {error}")
            }
            Self::OrdersTriedAgain(error) => {
                write!(out, "orders wait in the journal, none is lost; trying again: {error}")
            }
            Self::OrdersRefilled => out.write_str(
                "records are missing in it and are sent again from the journal; none is lost",
            ),
            Self::ReplicaFollows => out.write_str("lists are read from it where it is near enough"),
            Self::ReplicaStands(lag) => write!(
                out,
                "it takes nothing and lacks {lag} records: lists are read from the order store itself, and \
                 with orders.keep_until_replicated the journal keeps what it lacks; see that its replication runs"
            ),
            Self::ReplicaAway(error) => write!(
                out,
                "lists are read from the order store itself, and with orders.keep_until_replicated the journal \
                 keeps what it lacks: {error}"
            ),
            Self::OrdersLackRecords { lost, shard, stored, base } => write!(
                out,
                "{lost} records are missing in it that the journal has no longer (shard {shard}: \
                 stored up to {stored}, the journal begins behind {base}): bring a newer backup of it \
                 back; orders wait in the journal, which is kept"
            ),
            Self::OrdersLackRows(missing) => write!(
                out,
                "{missing} rows are gone from it that the journal has no longer: bring them back \
                 from a backup, `seckill audit` tells what is missing; the journal is kept"
            ),
            Self::CatalogueWhole => out.write_str("it knows every item in the shards"),
            Self::CatalogueLacks(items) => write!(
                out,
                "it was lost or is older than the journal: it does not know item {}. These are sold on \
                 and their orders are safe, but titles, lists of sales and registered buyers of then \
                 are missing: restore a newer copy of its tables",
                Self::name_items(items, |more| format!("{more} more"))
            ),
            Self::CatalogueAway(error) => write!(
                out,
                "purchases go on; log-ins, registrations and changes of sales are refused until it answers: \
                 {error}"
            ),
            _ => out.write_str("orders arrive behind the sale"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_with_its_values() {
        let items = |count| Meaning::CatalogueLacks((1..=count).map(ItemId).collect());
        for (meaning, part) in [
            (Meaning::JournalWorks, "every confirmation is on disk"),
            (Meaning::ClockDrifts(-61), "is 61 s behind the sale's"),
            (Meaning::ClockDrifts(61), "is 61 s ahead of the sale's"),
            (Meaning::TasksEnded(vec![("relay", 2)]), "relay ended and was run again (2 times);"),
            (Meaning::DirectoryUnusable("gone".to_owned()), "refused: gone"),
            (Meaning::CheckpointsWork, "a restart replays little"),
            (Meaning::CheckpointsForeign("theirs".to_owned()), "is mended: theirs"),
            (Meaning::BrokerBlocks("no disk".to_owned()), "none is lost: no disk"),
            (Meaning::OrdersArrive, "orders arrive behind the sale"),
            (Meaning::OrdersTriedAgain("gone".to_owned()), "trying again: gone"),
            (Meaning::CatalogueAway("gone".to_owned()), "refused until it answers: gone"),
            (Meaning::NotAskedYet, "not asked yet"),
            (
                Meaning::ClusterLacksOwners { unowned: 2, shards: 4 },
                "2 of 4 shards are served by no",
            ),
            (Meaning::ClusterAway(7), "last read 7 s ago"),
            (
                Meaning::ClusterOwnersSilent(vec!["a".into(), "b".into()]),
                "cannot ask a, b: what only",
            ),
            (
                Meaning::ClusterClocksApart { node: "a".into(), ahead: -7 },
                "clock of node a is 7 ms behind",
            ),
            (Meaning::EventsTold, "told behind the sale"),
            (Meaning::EventsWait("gone".to_owned()), "the sale goes on: gone"),
            (Meaning::EventsLost(7), "7 records were deleted"),
            (Meaning::SettingsHold, "while the shop runs holds"),
            (Meaning::SettingsRefused("limits, version 3: no".to_owned()), "limits, version 3: no"),
            (Meaning::SettingsFileRefused("line 7".to_owned()), "file is kept out"),
            (Meaning::CertificateHolds, "read last is presented"),
            (Meaning::CertificateRefused("no key".to_owned()), "is valid: no key; mend"),
            (Meaning::CertificateExpired(Timestamp(0)), "valid until 1970-01-01T00:00:00"),
            (Meaning::ClusterLacksBuckets(3), "the nodes of 3 buckets do not answer"),
            (items(2), "item 1, 2. These"),
            (items(9), "item 1, 2, 3, 4, 5, 4 more. These"),
        ] {
            let said = meaning.to_string();
            assert!(said.contains(part), "{said}");
        }
    }
}
