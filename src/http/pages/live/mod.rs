//! Live figures: looked at once a second, kept for a day, and sent to those who watch.
//!
//! `sampler` looks at engine and edge, `elsewhere` asks other nodes for what they
//! have, and `witness` asks the order store whether it agrees. `look` is
//! what they found, with `verdict` in a sentence; `ring` keeps the history of each of the `series`, and
//! `keeping` writes it down over a restart. `board` is where all of that meets, and `stream` sends it.

pub mod board;
pub mod elsewhere;
pub mod keeping;
pub mod look;
mod process;
pub mod ring;
pub mod sampler;
pub mod series;
pub mod stream;
pub mod verdict;
mod witness;
