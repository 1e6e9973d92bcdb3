//! Whose places calls take on a link, so that none keeps another kind from it.

use crate::peers::proto::call;

/// Whose place a call takes on a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::peers) enum Room {
    /// That of buyers.
    Buyers,
    /// That of the nodes' own calls: buyers who wait for units at one node must not keep it from getting them of the
    /// other.
    Upkeep,
    /// That of calls which wait for a change and for nothing else: however many do, buyers find their places.
    Watches,
}

/// Whose place this takes.
pub(in crate::peers) fn room(what: &call::What) -> Room {
    use call::What as W;
    match what {
        W::AwaitChange(_) => Room::Watches,
        W::SendUnits(_)
        | W::ReceiveUnits(_)
        | W::SettleTransfer(_)
        | W::ReadBuckets(_)
        | W::NoteKeys(_)
        | W::ReadClock(_)
        | W::Operate(_) => Room::Upkeep,
        _ => Room::Buyers,
    }
}
