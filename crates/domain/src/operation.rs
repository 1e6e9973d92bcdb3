//! What operators do to an item that is on sale: restock, reduce, pause, resume, end, guard.

use crate::admission::Admission;
use crate::ids::{ItemId, RequestId};
use crate::sale::ItemPhase;

/// Operations that an item remembers by their request ids, the latest ones: a repeat of one of them is
/// recognised.
pub const OPERATIONS_REMEMBERED: usize = 256;
/// The longest name of an operator, in bytes.
pub const OPERATOR_LENGTH_MAX: usize = 64;
/// The name in the operators' log under which the shop takes steps by itself.
pub const SHOP_ACTOR: &str = "engine";
/// The name in the operators' log under which the command line acts.
pub const COMMAND_LINE_ACTOR: &str = "command-line";

/// An operator's change of one item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The item to change.
    pub item_id: ItemId,
    /// What is done to it.
    pub action: ItemAction,
    /// Who asked for it. None in records of version 0.1.0, which did not keep it.
    pub request: Option<OperatorRequest>,
}

/// What is done to an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemAction {
    /// Adds this many units to the allotment, at least 1.
    Restock(u32),
    /// Takes this many units, at least 1, which must be available, off the allotment.
    Reduce(u32),
    /// Stops selling for the moment.
    Pause,
    /// Lets it sell again.
    Resume,
    /// Stops selling for good.
    End,
    /// Guards it like this from now on.
    Admit(Admission),
}

/// The request behind an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperatorRequest {
    /// The operator's name: 1 to [`OPERATOR_LENGTH_MAX`] bytes.
    pub operator: Box<str>,
    /// The request's id, by which a repeat is recognised. Scoped to the operator, and never 0. None if
    /// the client did not name the request, so that it stands for itself.
    pub request_id: Option<RequestId>,
}

/// An operation as its item remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RememberedOperation {
    /// The request's id.
    pub request_id: RequestId,
    /// What was done.
    pub action: ItemAction,
}

impl Operation {
    /// An operation of which nobody's request is known.
    pub fn unattributed(item_id: ItemId, action: ItemAction) -> Self {
        Self { item_id, action, request: None }
    }

    /// How the item remembers it; none if its request cannot be repeated.
    pub fn remembered(&self) -> Option<RememberedOperation> {
        let request_id = self.request.as_ref()?.request_id?;
        Some(RememberedOperation { request_id, action: self.action })
    }
}

impl ItemAction {
    /// The action's name in logs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restock(_) => "restock",
            Self::Reduce(_) => "reduce",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::End => "end",
            Self::Admit(_) => "admit",
        }
    }

    /// Units that it adds or takes away; 0 if it does neither.
    pub fn units(self) -> u32 {
        match self {
            Self::Restock(units) | Self::Reduce(units) => units,
            Self::Pause | Self::Resume | Self::End | Self::Admit(_) => 0,
        }
    }

    /// The phase that it leaves the item in; none if it does not concern the phase.
    pub fn phase(self) -> Option<ItemPhase> {
        match self {
            Self::Restock(_) | Self::Reduce(_) | Self::Admit(_) => None,
            Self::Pause => Some(ItemPhase::Paused),
            Self::Resume => Some(ItemPhase::Open),
            Self::End => Some(ItemPhase::Ended),
        }
    }

    /// The number under which records and checkpoints keep the action.
    pub fn number(self) -> u8 {
        match self {
            Self::Restock(_) => 1,
            Self::Reduce(_) => 2,
            Self::Pause => 3,
            Self::Resume => 4,
            Self::End => 5,
            Self::Admit(_) => 6,
        }
    }

    /// What is done, as one number beside [`Self::number`]: units, or the admission's number.
    pub fn value(self) -> u64 {
        match self {
            Self::Admit(admission) => admission.number(),
            action => u64::from(action.units()),
        }
    }

    /// The action of this number and value.
    pub fn from_number(number: u8, value: u64) -> Option<Self> {
        if number == 6 {
            return Admission::from_number(value).map(Self::Admit);
        }
        let units = u32::try_from(value).ok()?;
        let action = match number {
            1 => Self::Restock(units),
            2 => Self::Reduce(units),
            3 => Self::Pause,
            4 => Self::Resume,
            5 => Self::End,
            _ => return None,
        };
        (action.units() == units).then_some(action)
    }
}

/// Remembers an operation behind the others, and forgets the oldest beyond [`OPERATIONS_REMEMBERED`].
pub fn remember(operations: &mut Vec<RememberedOperation>, operation: RememberedOperation) {
    if operations.len() >= OPERATIONS_REMEMBERED {
        operations.drain(..=operations.len() - OPERATIONS_REMEMBERED);
    }
    operations.push(operation);
}
