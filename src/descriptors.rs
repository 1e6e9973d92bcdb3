//! How many files and sockets the process may have open, and how many of them are for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What connections never take: for the journal, the stores and their servers, and the operations
/// listener.
const RESERVE: u64 = 512;

/// Raises the limit of open files and sockets as far as the process may, and returns how many of
/// `connections_max` connections it leaves room for. Says so in the log if that is fewer.
pub fn connections_max(connections_max: u32) -> usize {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            limits.current
        }
    };
    let room = room_for(limit, connections_max);
    if room < connections_max {
        tracing::warn!(
            open_files_max = limit,
            connections_max,
            room,
            "the limit of open files leaves room for fewer connections than http.connections_max: \
             raise it (ulimit -n, LimitNOFILE=) to at least 512 more than these"
        );
    }
    room as usize
}

/// Returns how many of `connections_max` connections may be open below this limit, at least one.
fn room_for(limit: Option<u64>, connections_max: u32) -> u32 {
    let Some(limit) = limit else { return connections_max };
    let room = limit - RESERVE.min(limit / 2);
    u32::try_from(room).unwrap_or(u32::MAX).clamp(1, connections_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_reserve() {
        for (limit, wanted, room) in [
            (None, 16_384, 16_384),
            (Some(1_048_576), 16_384, 16_384),
            (Some(16_896), 16_384, 16_384),
            (Some(16_895), 16_384, 16_383),
            (Some(1_024), 16_384, 512),
            (Some(256), 16_384, 128),
            (Some(1_024), 100, 100),
            (Some(1), 100, 1),
        ] {
            assert_eq!(room_for(limit, wanted), room, "{limit:?} {wanted}");
        }
    }
}
