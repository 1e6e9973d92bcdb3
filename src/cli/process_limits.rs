//! The limits of this process (`ulimit`) below which it cannot be run.
//!
//! Where one is met depends on who asks next, none of them would call it by its name, and for memory most
//! have no other end than an abort. So a limit that is too low is refused before anything is begun.

use super::failure::{Exit, Failure};
use rustix::process::{Resource, getrlimit};

/// The least address space in bytes. It maps far more than it uses: stacks of threads, the allocator's
/// arenas, files. An idle shop on two processors maps half of it.
const ADDRESS_SPACE_BYTES_MIN: u64 = 4 << 30;
/// The least number of open files and sockets: an idle shop has a third of it open.
const OPEN_FILES_MIN: u64 = 128;

/// Refuses a limit of address space that is too low.
///
/// # Errors
/// Returns [`Failure`] with the limit and what to do about it.
pub fn check_address_space() -> Result<(), Failure> {
    refuse_address_space(getrlimit(Resource::As).current)
}

/// Refuses a limit of open files that is too low. The soft limit is raised at the start, so that the hard
/// one counts.
///
/// # Errors
/// Returns [`Failure`] with the limit and what to do about it.
pub fn check_open_files() -> Result<(), Failure> {
    refuse_open_files(getrlimit(Resource::Nofile).maximum)
}

fn refuse_address_space(limit: Option<u64>) -> Result<(), Failure> {
    let Some(limit) = limit.filter(|limit| *limit < ADDRESS_SPACE_BYTES_MIN) else { return Ok(()) };
    Err(too_low(
        format!(
            "this process may map {limit} bytes of address space, and needs {ADDRESS_SPACE_BYTES_MIN} at \
             least: it maps much more than it uses"
        ),
        "raise the limit of address space (`ulimit -v unlimited`, or LimitAS= of its unit); what bounds the \
         memory that is used is the container's limit, or MemoryMax= of the unit",
    ))
}

fn refuse_open_files(limit: Option<u64>) -> Result<(), Failure> {
    let Some(limit) = limit.filter(|limit| *limit < OPEN_FILES_MIN) else { return Ok(()) };
    Err(too_low(
        format!(
            "this process may have {limit} files and sockets open, and needs {OPEN_FILES_MIN} at least: \
             for the journal, the stores and its listeners, and one more for each connection"
        ),
        "raise the limit of open files (`ulimit -n`, or LimitNOFILE= of its unit) to 512 more than \
         http.connections_max, which leaves room for all connections",
    ))
}

fn too_low(what: String, remedy: &str) -> Failure {
    Failure {
        exit: Exit::Fault,
        what,
        meaning:
            "nothing was started and no data was touched; confirmed orders are where they were"
                .to_owned(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_address_space_is_refused_below_what_is_needed() {
        for (limit, is_refused) in
            [(None, false), (Some(4 << 30), false), (Some((4 << 30) - 1), true), (Some(0), true)]
        {
            assert_eq!(refuse_address_space(limit).is_err(), is_refused, "{limit:?}");
        }
    }

    #[test]
    fn a_limit_of_open_files_is_refused_below_what_is_needed() {
        for (limit, is_refused) in
            [(None, false), (Some(128), false), (Some(127), true), (Some(12), true)]
        {
            assert_eq!(refuse_open_files(limit).is_err(), is_refused, "{limit:?}");
        }
    }
}
