//! What an operator sees of the process: the log, the metrics with the catalogue of their names and their
//! text form, distributions that are fine enough for quantiles, and what the kernel says of the process.

pub mod log;
pub mod metrics;
pub mod process;
pub mod quantiles;
pub mod repeats;
pub mod text;
pub mod traces;
