//! Makes segments ready ahead of their use, on a thread of its own: files full of zeros, because a
//! sync that need not move the end of a file is half as expensive.

use super::disk::{Disk, DiskFile};
use super::segments::{Ready, Segments, segment_name};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The time between two looks whether the segments that are ready are still there.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the thread; it ends once the segments are closed.
pub(super) fn spawn(segments: Arc<Segments>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("journal-prepare".to_owned())
        .spawn(move || while prepare_next(&segments) {})
}

/// Waits until a segment is wanted and prepares it; false once the segments are closed.
fn prepare_next(segments: &Segments) -> bool {
    let number = {
        let mut prepared = segments.prepared.lock();
        loop {
            if prepared.closed {
                return false;
            }
            segments.drop_missing(&mut prepared);
            if prepared.ready.len() < segments.options.segments_ahead {
                break prepared.next;
            }
            segments.prepared_changed.wait_for(&mut prepared, LOOK);
        }
    };
    let outcome = prepare(segments.disk.as_ref(), number, segments.options.segment_bytes);
    let mut prepared = segments.prepared.lock();
    match outcome {
        Ok(file) => {
            prepared.ready.push_back(Ready { number, file });
            prepared.next += 1;
            segments.status.set_obstacle(None);
            if prepared.obstacle.take().is_some() {
                tracing::info!(segment = number, "journal has room again");
            }
            segments.status.set_has_room(true);
            segments.prepared_changed.notify_all();
        }
        Err(error) => {
            if prepared.obstacle.is_none() {
                tracing::error!(
                    segment = number,
                    %error,
                    "journal cannot prepare its next segment; purchases are refused before the \
                     current one is full: make room on the disk"
                );
            }
            segments.status.set_obstacle(Some(error.to_string()));
            prepared.obstacle = Some(error.to_string());
            segments.prepared_changed.notify_all();
            let room = segments.has_room(&prepared, segments.durable_end());
            segments.status.set_has_room(room);
            segments.prepared_changed.wait_for(&mut prepared, segments.options.prepare_retry);
        }
    }
    true
}

/// Creates the file of a segment, full of zeros, so that it survives a crash whole or not at all. It
/// stays open, so that going on in it needs no descriptor that may not be there then.
pub(super) fn prepare(disk: &dyn Disk, number: u64, length: u64) -> io::Result<Box<dyn DiskFile>> {
    const STEP: u64 = 1 << 20;
    const UNFINISHED: &str = "unfinished.segment";
    let write = || -> io::Result<Box<dyn DiskFile>> {
        let file = disk.create(UNFINISHED)?;
        let zeros = vec![0; STEP as usize];
        let mut offset = 0;
        while offset < length {
            let step = STEP.min(length - offset);
            file.write_at(offset, &zeros[..step as usize])?;
            // In small steps: a large one would hold up the syncs of the sale.
            file.sync_data()?;
            offset += step;
        }
        disk.rename(UNFINISHED, &segment_name(number))?;
        disk.sync_directory()?;
        Ok(file)
    };
    write().inspect_err(|_| {
        // Best effort: gives the space back, and the next attempt replaces the file anyway.
        let _ = disk.remove(UNFINISHED);
    })
}
