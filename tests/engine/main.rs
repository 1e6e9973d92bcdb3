//! The engine in the process, without its edge: a sale, its limits, what disks do to it, and several
//! of it on one log.

mod cluster;
mod events;
mod limits;
mod payments;
mod sale;
mod seen;
mod simulation;
