//! The bugs that can be planted into a cluster's simulation, each in one of its doubles.

use domain::invariants::Invariant;

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
}

impl Plant {
    /// The five that the protocol's design names, then the others.
    pub const ALL: [Self; 20] = [
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
        }
    }

    /// The invariants that it may be found by.
    pub fn breaks(self) -> &'static [Invariant] {
        use Invariant as I;
        match self {
            Self::HeadNotCompared => &[I::I5, I::I15],
            Self::RefusedTakenForFenced => &[I::I16],
            Self::ReleasedBeforeDone => &[I::I8],
            Self::SilenceTakenForDone => &[I::I3, I::I8, I::I16],
            Self::NoGuard => &[I::I3, I::I16],
            Self::OldReads => &[I::I3],
            Self::TrimmedWithoutOrderStore => &[I::I13],
            Self::RepeatLands => &[I::I5],
            Self::OlderOwnerLands => &[I::I15],
            Self::GateMiscounts => &[I::I1],
            Self::Oversold => &[I::I2],
            Self::FirstRowWins => &[I::I4],
            Self::OverLimit => &[I::I6],
            Self::RequestsMixedUp => &[I::I7],
            Self::TailNotReplayed => &[I::I9],
            Self::EndsTwice => &[I::I10],
            Self::CheckpointBeforeDurable => &[I::I11],
            Self::RelaySkips => &[I::I12],
            Self::OtherPrice => &[I::I14],
            Self::OtherMoney => &[I::I17],
        }
    }
}
