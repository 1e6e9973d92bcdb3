//! The comparison: each contender in turn on this machine, the same requests from the
//! same generator, in interleaved rounds, so that whatever disturbs the machine disturbs
//! all of them. Figures are ratios within a round; the report gives their median and
//! their spread.

mod arguments;
mod beside;
mod contender;
mod figures;
mod grpc;
mod rounds;
mod table;
mod told;

pub use arguments::{CompareArguments, Name};
pub use beside::Views;
pub use figures::{Comparison, Figure, OpenLoopRow, Row};
pub use rounds::compare;
pub use told::Told;
