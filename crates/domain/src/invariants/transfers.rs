//! A plain account of the units that went from one bucket to another, for the ledger.
//!
//! Shards may be read one after the other, so that a transfer's end may come before its beginning: each half
//! waits here for the other.

use super::checks::Verdict;
use crate::buckets::Transfer;
use crate::exchange::Exchange;
use crate::ids::ItemId;
use std::collections::HashMap;

/// From one bucket of an item to another.
type Route = (ItemId, u8, u8);

/// All transfers, by their routes.
#[derive(Debug, Default)]
pub(super) struct Transfers(HashMap<Route, Account>);

#[derive(Debug, Default)]
struct Account {
    sent: u32,
    received: u32,
    settled: u32,
    /// Units of the numbers that were sent, and are not on record as received.
    only_sent: HashMap<u32, u32>,
    /// Units of the numbers that were received, and are not on record as sent.
    only_received: HashMap<u32, u32>,
    /// Up to here the end of a transfer is no longer on record.
    received_before: u32,
    /// Up to here its beginning is not.
    sent_before: u32,
}

impl Transfers {
    /// Takes what a bucket has exchanged as given: it is no longer on record.
    pub(super) fn assume(&mut self, item_id: ItemId, exchange: &Exchange) {
        for peer in &exchange.peers {
            let there = self.0.entry((item_id, exchange.bucket, peer.bucket)).or_default();
            (there.sent, there.sent_before) = (peer.sent, peer.sent);
            there.settled = peer.sent - u32::from(peer.open_units > 0);
            if peer.open_units > 0 && there.received_before < peer.sent {
                there.only_sent.insert(peer.sent, peer.open_units);
            }
            let back = self.0.entry((item_id, peer.bucket, exchange.bucket)).or_default();
            (back.received, back.received_before) = (peer.received, peer.received);
            back.only_sent.retain(|number, _| *number > peer.received);
        }
    }

    pub(super) fn sent(&mut self, transfer: &Transfer, shard_has: Option<u8>) -> Verdict {
        let account = self.account(transfer, transfer.from, shard_has)?;
        if account.settled != account.sent || account.sent.checked_add(1) != Some(transfer.number) {
            return Err(format!("{} was sent before the last one was settled", name(transfer)));
        }
        account.sent = transfer.number;
        if transfer.number <= account.received_before {
            return Ok(());
        }
        match account.only_received.remove(&transfer.number) {
            None => drop(account.only_sent.insert(transfer.number, transfer.units)),
            Some(units) if units == transfer.units => {}
            Some(units) => return Err(differs(transfer, units)),
        }
        Ok(())
    }

    pub(super) fn received(&mut self, transfer: &Transfer, shard_has: Option<u8>) -> Verdict {
        let account = self.account(transfer, transfer.to, shard_has)?;
        if account.received.checked_add(1) != Some(transfer.number) {
            return Err(format!("{} was received behind {}", name(transfer), account.received));
        }
        account.received = transfer.number;
        match account.only_sent.remove(&transfer.number) {
            None if transfer.number <= account.sent_before => {}
            None => drop(account.only_received.insert(transfer.number, transfer.units)),
            Some(units) if units == transfer.units => {}
            Some(units) => return Err(differs(transfer, units)),
        }
        Ok(())
    }

    pub(super) fn settled(&mut self, transfer: &Transfer, shard_has: Option<u8>) -> Verdict {
        let account = self.account(transfer, transfer.from, shard_has)?;
        if transfer.number != account.sent || account.settled == account.sent {
            return Err(format!("{} was settled and is not open", name(transfer)));
        }
        account.settled = transfer.number;
        Ok(())
    }

    /// Units of the item that are in no bucket.
    ///
    /// # Errors
    /// Names a transfer that was received and never sent, or settled and never received.
    pub(super) fn under_way(&self, item_id: ItemId) -> Result<i64, String> {
        let mut units = 0;
        for ((_, from, to), account) in self.0.iter().filter(|((item, ..), _)| *item == item_id) {
            let way = format!("from bucket {from} to {to} of item {item_id}");
            if let Some(number) = account.only_received.keys().min() {
                return Err(format!("transfer {number} {way} was received and never sent"));
            }
            if account.settled > account.received {
                let number = account.settled;
                return Err(format!("transfer {number} {way} was settled and never received"));
            }
            units += account.only_sent.values().map(|units| i64::from(*units)).sum::<i64>();
        }
        Ok(units)
    }

    /// The account of a transfer, of which one end is in the shard that has this bucket.
    fn account(
        &mut self,
        transfer: &Transfer,
        end: u8,
        shard_has: Option<u8>,
    ) -> Result<&mut Account, String> {
        if shard_has != Some(end) || transfer.from == transfer.to || transfer.units == 0 {
            return Err(format!("{} is another bucket's, or of nothing", name(transfer)));
        }
        Ok(self.0.entry((transfer.item_id, transfer.from, transfer.to)).or_default())
    }
}

fn name(transfer: &Transfer) -> String {
    let Transfer { item_id, from, to, number, .. } = transfer;
    format!("transfer {number} from bucket {from} to {to} of item {item_id}")
}

fn differs(transfer: &Transfer, units: u32) -> String {
    format!("{} is of {} units at one end and {units} at the other", name(transfer), transfer.units)
}
