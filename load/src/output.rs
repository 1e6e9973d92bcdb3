//! Standard output, whose reader may have gone.

use std::io::Write;

use crate::{Error, Result};

/// Prints to standard output, which may be a pipe that nobody reads any more.
///
/// # Errors
/// Returns the output's error.
pub fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(Error::io("writing the output"))
}
