//! The end of a process whose journal failed: nothing more can be confirmed.

use crate::store::journal::NotOwner;
use std::io;

/// Ends the process after the journal failed.
pub(super) fn stop_process(error: io::Error) {
    if error.get_ref().is_some_and(|inner| inner.is::<NotOwner>()) {
        tracing::error!(
            %error,
            "this process is not the shop any more and stops: another one serves from its data, or the \
             data directory was moved or replaced beneath it; what it confirmed is in the journal that \
             it wrote, requests under way were not confirmed; let one process serve, from one directory"
        );
    } else {
        tracing::error!(
            %error,
            "the journal failed: nothing more can be confirmed, the process stops; confirmed orders are \
             safe, requests under way have an unknown outcome; mend what the error names, the disk or the rights \
             to its directory, and start again"
        );
    }
    // EX_IOERR of sysexits.h.
    std::process::exit(74);
}
