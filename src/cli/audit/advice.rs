//! What to do about what an audit found: for each rule that does not hold, for each store that could not be
//! asked, and where there is no verdict at all. Must not know how anything was judged.

use crate::audit::{AuditError, Source};
use domain::invariants::{Invariant, Rule};

/// What to do where the rule does not hold.
pub(super) fn of_rule(rule: Rule) -> &'static str {
    let Rule::Invariant(invariant) = rule else {
        return "make a copy of the data directory, and have this version read it that wrote it; if that \
                finds the same, report it as a fault of the program, with the copy";
    };
    match invariant {
        Invariant::I1 => {
            "pause the item, make a copy of the data directory, and report it as a fault of the program; \
             sell it on when its orders have been counted"
        }
        Invariant::I2 => {
            "pause the item: its latest orders have no units. Restock it by so many, or cancel those orders"
        }
        Invariant::I3 => {
            "look for the order in backups of the journal and in the order store, tell its buyer, and find \
             out what the journal's disk has done: what it said was written is not there"
        }
        Invariant::I4 => {
            "look at the row and at `seckill dead-letters list`. A row that somebody changed or made is put \
             back by hand; for rows that are gone restore an older backup of the order store, which the \
             shop fills up again from the journal (docs/operations.md, \"When the order store has lost \
             orders\")"
        }
        Invariant::I5 => {
            "delete nothing, make a copy of the whole data directory, and go on as docs/operations.md says \
             of \"A damaged journal\""
        }
        Invariant::I6 => {
            "look at the buyer's orders and cancel what is beyond the limit; then report it as a fault of \
             the program"
        }
        Invariant::I7 => {
            "look at the orders of the one request, give back what was paid for the second, and report it \
             as a fault of the program"
        }
        Invariant::I8 | Invariant::I16 => "see the report of the load laboratory",
        Invariant::I9 => {
            "stop the shop, move the checkpoints away (checkpoints.db with its -wal, or the keys \
             `seckill::checkpoint::*` in Redis) and start: they are made anew from the journal, or from the \
             order store where that was cut"
        }
        Invariant::I10 => {
            "look at the order's money: it may have been paid and given back. Then report it as a fault of \
             the program"
        }
        Invariant::I11 => {
            "do not start the shop on this journal: it has lost records, or is an older copy. Bring the \
             newest one back, or go on as docs/operations.md says of \"A lost journal\""
        }
        Invariant::I12 => {
            "see whether the journal is an older copy, then bring the newest one back; otherwise restore \
             an older backup of the order store, which the shop fills up again from the journal"
        }
        Invariant::I13 => {
            "bring a backup of the order store back that has these records: they are in the journal no \
             longer. Keep all segments that are left until then"
        }
        Invariant::I14 => {
            "compare the order with the prices in the operators' log, and settle the difference with its \
             buyer; then report it as a fault of the program"
        }
        Invariant::I15 => {
            "find the second process that wrote here, and stop it; then make a copy of the data directory, \
             and compare the orders of both with what their buyers were told"
        }
        Invariant::I17 => {
            "compare the sale's payments with the provider's list of them, and put a row back that somebody \
             changed; if the rows are right, report it as a fault of the program before money goes back"
        }
    }
}

/// What to do where the rule does not hold in the log of a cluster.
pub(super) fn of_rule_in_cluster(rule: Rule) -> &'static str {
    let Rule::Invariant(invariant) = rule else {
        return "take a snapshot of etcd (`etcdctl snapshot save`), and audit with the version that the nodes \
                run; if that finds the same, report it as a fault of the program, with the snapshot";
    };
    match invariant {
        Invariant::I1 => {
            "pause the item, take a snapshot of etcd, and report it as a fault of the program; sell it on when \
             its orders have been counted"
        }
        Invariant::I3 => {
            "look for the order in snapshots of etcd and in the order store, tell its buyer, and find out \
             what etcd's members have lost: what their majority said was written is not there"
        }
        Invariant::I4 => {
            "look at the row and at `seckill dead-letters list`. A row that somebody changed or made is put \
             back by hand; for rows that are gone restore an older backup of the order store, which the \
             nodes fill up again from the log, as far as it was not trimmed"
        }
        Invariant::I5 => {
            "delete nothing, take a snapshot of etcd, and let the shard's owner run: no other node can take \
             the shard over. docs/cluster.md, \"A damaged log\", says how to go on"
        }
        Invariant::I9 => {
            "stop the nodes, delete the keys `seckill::checkpoint::*` in Redis and start: checkpoints are made \
             anew from the log, or from the order store where that was trimmed"
        }
        Invariant::I11 => {
            "start no node: etcd has lost records, or was brought back from an older snapshot. Bring a newer \
             one back (docs/cluster.md, \"A damaged log\")"
        }
        Invariant::I12 => {
            "see whether etcd was brought back from an older snapshot, then bring a newer one back; otherwise \
             restore an older backup of the order store, which the nodes fill up again from the log"
        }
        Invariant::I13 => {
            "bring a backup of the order store back that has these records: they are in the log no longer"
        }
        Invariant::I15 => {
            "take a snapshot of etcd, and report it as a fault of the program; compare the orders of both \
             owners with what their buyers were told"
        }
        Invariant::I17 => {
            "compare the sale's payments with the provider's own list of them, and put a row of the order \
             store back that somebody changed; if the rows are right, take a snapshot of etcd, and report it \
             as a fault of the program before any money is given back"
        }
        _ => of_rule(rule),
    }
}

/// What to do about a store that could not be asked.
pub(super) fn of_source(source: Source) -> &'static str {
    match source {
        Source::OrderStore => {
            "bring it back, or correct orders.mysql_url and data.dir, and repeat: until then nobody has \
             compared its orders with the journal's (docs/operations.md, \"When the order store has lost \
             orders\")"
        }
        Source::Checkpoints => {
            "nothing is lost with them: see that the Redis of checkpoint.redis_url answers, or stop the \
             shop, move a file that is damaged away, or delete the keys `seckill::checkpoint::*` where Redis \
             holds what no shop wrote, and start, so that they are made anew; then repeat"
        }
        Source::Broker => {
            "bring RabbitMQ back or correct broker.amqp_url, and repeat: until then nobody has looked at \
             what it keeps as dead letters"
        }
    }
}

/// What to do where there is no verdict.
pub(super) fn of_error(error: &AuditError) -> &'static str {
    match error {
        AuditError::DataDir(_) | AuditError::Journal(_) => {
            "see that data.dir names the directory, and that this user can read it; a file that holds \
             something else is brought back from a copy of the directory"
        }
        AuditError::NoJournal(_) => {
            "see that data.dir names the directory that the shop serves from, and that its volume is \
             mounted. If the journal is lost for good and the order store lives, begin a new one with \
             `seckill recover --from-orders` (docs/operations.md, \"A lost journal\")"
        }
        AuditError::ForeignOrders { .. } => {
            "audit with the settings that the shop serves with: data.dir and orders.mysql_url belong to \
             two shops, or the data directory is a new one or an older copy"
        }
        AuditError::MisplacedOrders { .. } => {
            "audit with the settings that the shop serves with: orders.mysql_urls names all of its databases, \
             each in its place"
        }
        AuditError::IdentityLost { .. } => {
            "bring that file back from a copy of the data directory, or, if this is the directory that the \
             shop serves from, write the identity that is named into it; then repeat"
        }
        AuditError::Etcd(_) => {
            "see that cluster.endpoints names etcd's members, that a majority of them answers, and that \
             cluster.user may read below cluster.prefix; then repeat"
        }
        AuditError::Compacted(_) => {
            "repeat it when less is sold, or let etcd keep more revisions (--auto-compaction-retention)"
        }
        AuditError::Orders(_) => {
            "see that the order store can be reached, and that tables which an older version made were \
             brought up to date with `seckill migrate`"
        }
        AuditError::Checkpoints(_) => {
            "audit with the settings that the shop serves with: data.dir and checkpoint.redis_url belong \
             to two shops, or the data directory is a new one or an older copy"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_rule_has_advice_of_its_own() {
        let judged = Invariant::ALL.into_iter();
        let judged = judged.filter(|rule| !matches!(rule, Invariant::I8 | Invariant::I16));
        let rules: Vec<_> = judged.map(Rule::from).chain([Rule::Form]).collect();
        for advice in [of_rule, of_rule_in_cluster] {
            let advice: BTreeSet<_> = rules.iter().map(|rule| advice(*rule)).collect();
            assert_eq!(advice.len(), rules.len());
        }
    }
}
