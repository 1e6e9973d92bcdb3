//! Drills: the real binary on a real directory, killed, starved, poisoned and lied to.
//!
//! `docs/drills.md` says which test runs which drill. Each test that draws numbers prints its seed;
//! `SECKILL_SEED` runs it again with that one.

mod audit;
mod buckets;
mod buy_tokens;
mod clocks;
mod cluster;
mod cluster_buckets;
mod crash_points;
pub mod cut_journal;
mod damage;
mod descriptors;
mod disk;
mod files;
mod hostile;
mod identities;
mod journal_writer;
mod kills;
mod limits;
mod logging;
mod order_store;
mod ownership;
mod payment_callbacks;
mod payments;
mod poison;
mod recovery;
mod secrets;
mod slow;
mod starting;
mod stopping;
mod webhooks;
