//! The bugs that can be planted into a cluster's simulation, each in one of its doubles.

use domain::invariants::{Invariant, Rule};

/// A bug that the simulation has to find.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Plant {
    /// The log puts down what is appended, whatever its head is.
    HeadNotCompared,
    /// The answer to every append that was refused says that another node has the shard.
    RefusedTakenForFenced,
    /// Effects are released as soon as their batch is sent.
    ReleasedBeforeDone,
    /// What has no record of its own leaves whether the lease lasts or not.
    NoGuard,
    /// A shard is trimmed up to its checkpoint, whatever the order store holds.
    TrimmedWithoutOrderStore,
    /// A read shows an order as it was granted.
    OldReads,
    /// An append that nobody answers counts as done.
    SilenceTakenForDone,
    /// An append that its owner sends again lands once more.
    RepeatLands,
    /// What an earlier owner appends lands behind a claim.
    OlderOwnerLands,
    /// The gate takes no units back that were reserved.
    GateMiscounts,
    /// More units go into a record than there are.
    Oversold,
    /// The order store keeps the first state of an order.
    FirstRowWins,
    /// Two units go to a buyer who may have one.
    OverLimit,
    /// Every order of a buyer gets the same request id.
    RequestsMixedUp,
    /// What is behind a checkpoint is not replayed.
    TailNotReplayed,
    /// An order that has ended ends again in the place of another one.
    EndsTwice,
    /// A checkpoint is taken of what is decided, durable or not.
    CheckpointBeforeDurable,
    /// The relay begins where a shard was taken over, not where the order store ends.
    RelaySkips,
    /// A record's amount is not the price.
    OtherPrice,
    /// A record's money is not what has come.
    OtherMoney,
    /// Units that come to a bucket a second time count again.
    ReceivedTwice,
    /// A transfer that was open when its shard was taken over is not led on.
    TransferForgotten,
    /// A bucket whose owner's lease is over gives units that are not on record as given.
    GivesWithoutLease,
}

impl Plant {
    /// The five that the protocol's design names, then the others.
    pub const ALL: [Self; 23] = [
        Self::HeadNotCompared,
        Self::RefusedTakenForFenced,
        Self::ReleasedBeforeDone,
        Self::NoGuard,
        Self::TrimmedWithoutOrderStore,
        Self::OldReads,
        Self::SilenceTakenForDone,
        Self::RepeatLands,
        Self::OlderOwnerLands,
        Self::GateMiscounts,
        Self::Oversold,
        Self::FirstRowWins,
        Self::OverLimit,
        Self::RequestsMixedUp,
        Self::TailNotReplayed,
        Self::EndsTwice,
        Self::CheckpointBeforeDurable,
        Self::RelaySkips,
        Self::OtherPrice,
        Self::OtherMoney,
        Self::ReceivedTwice,
        Self::TransferForgotten,
        Self::GivesWithoutLease,
    ];

    /// What it is, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::HeadNotCompared => "no head is compared",
            Self::RefusedTakenForFenced => "refused is taken for fenced",
            Self::ReleasedBeforeDone => "released before done",
            Self::NoGuard => "no guard of refusals and reads",
            Self::TrimmedWithoutOrderStore => "trimmed without the order store",
            Self::OldReads => "a read shows the first state",
            Self::SilenceTakenForDone => "silence is taken for done",
            Self::RepeatLands => "an owner's repeat lands again",
            Self::OlderOwnerLands => "an earlier owner's append lands",
            Self::GateMiscounts => "the gate takes no units back",
            Self::Oversold => "more units in a record than there are",
            Self::FirstRowWins => "the first row of an order wins",
            Self::OverLimit => "two units where one is allowed",
            Self::RequestsMixedUp => "one request id for all of a buyer",
            Self::TailNotReplayed => "no replay behind a checkpoint",
            Self::EndsTwice => "an order ends twice",
            Self::CheckpointBeforeDurable => "checkpoint of what is not durable",
            Self::RelaySkips => "the relay skips what an owner left",
            Self::OtherPrice => "an amount that is not the price",
            Self::OtherMoney => "money in a record that did not come",
            Self::ReceivedTwice => "a transfer is received twice",
            Self::TransferForgotten => "a transfer is forgotten at a takeover",
            Self::GivesWithoutLease => "a bucket gives though its lease is over",
        }
    }

    /// The rules that it may be found by: a record of units that came twice fits to no other one.
    pub fn breaks(self) -> &'static [Rule] {
        use Invariant as I;
        use Rule::{Form, Invariant as R};
        match self {
            Self::HeadNotCompared => &[R(I::I5), R(I::I15)],
            Self::RefusedTakenForFenced => &[R(I::I16)],
            Self::ReleasedBeforeDone => &[R(I::I8)],
            Self::SilenceTakenForDone => &[R(I::I3), R(I::I8), R(I::I16)],
            Self::NoGuard => &[R(I::I3), R(I::I16)],
            Self::OldReads => &[R(I::I3)],
            Self::TrimmedWithoutOrderStore => &[R(I::I13)],
            Self::RepeatLands => &[R(I::I5)],
            Self::OlderOwnerLands => &[R(I::I15)],
            Self::GateMiscounts => &[R(I::I1)],
            Self::Oversold => &[R(I::I2)],
            Self::FirstRowWins => &[R(I::I4)],
            Self::OverLimit => &[R(I::I6)],
            Self::RequestsMixedUp => &[R(I::I7)],
            Self::TailNotReplayed => &[R(I::I9)],
            Self::EndsTwice => &[R(I::I10)],
            Self::CheckpointBeforeDurable => &[R(I::I11)],
            Self::RelaySkips => &[R(I::I12)],
            Self::OtherPrice => &[R(I::I14)],
            Self::OtherMoney => &[R(I::I17)],
            Self::ReceivedTwice | Self::GivesWithoutLease => &[R(I::I1), Form],
            Self::TransferForgotten => &[R(I::I16)],
        }
    }
}
