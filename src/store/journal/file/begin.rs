//! Begins a journal behind records that are kept elsewhere, where the journal that had them is lost.

use super::disk::Disk;
use super::frame::SegmentHeader;
use super::preparer::prepare;
use super::segments::Options;
use std::io;

/// Writes the first segment's header: each shard begins behind its record in `base`, and the next owner
/// is above `epoch`.
///
/// # Errors
/// Returns the operating system's error if the segment cannot be made.
pub fn begin(disk: &dyn Disk, options: Options, base: &[u64], epoch: u64) -> io::Result<()> {
    const FIRST: u64 = 1;
    let file = prepare(disk, FIRST, options.segment_bytes)?;
    let header =
        SegmentHeader { number: FIRST, first_frame: 1, chain: 0, epoch, marks: base.to_vec() };
    file.write_at(0, &header.encode())?;
    file.sync_data()
}
