//! The engine at its limits, in the process: many buyers, many items, many repeats, and clocks that
//! are wrong.

mod addresses;
mod buckets;
mod crowds;
mod memory;
mod orders;
