//! What an operator sees of the process: the log, and the metrics with the catalogue of their names and
//! their text form.

pub mod log;
pub mod metrics;
pub mod repeats;
pub mod text;
