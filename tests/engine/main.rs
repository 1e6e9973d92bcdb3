//! The engine in the process, without its edge: a sale, its limits, and what disks do to it.

mod limits;
mod sale;
mod simulation;
