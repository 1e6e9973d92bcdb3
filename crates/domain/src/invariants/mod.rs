//! The numbered invariants: their catalogue, one function each, and a ledger that judges them record
//! by record.
//!
//! The state machine, the tests, the simulation, `seckill audit` and the load laboratory call the
//! same functions and name what is broken by the same [`Rule`].

mod catalogue;
mod checks;
mod ledger;
mod money;
mod requests;
mod transfers;

pub use catalogue::{Invariant, Rule};
pub use checks::{
    MoneyCounts, UnitCounts, Verdict, i1_balance, i2_not_below_zero, i3_confirmed, i4_stored,
    i5_dense, i6_limit, i7_granted_once, i10_ends_once, i11_checkpoint, i14_price, i17_balance,
    i17_pays,
};
pub use ledger::{Finding, Ledger, LedgerItem};
