//! A torn tail is cut, anything else that is not what was written is refused with
//! its place.

use seckill::store::journal::file::disk::Disk;
use seckill::store::journal::file::frame::{
    self, ALIGNMENT, FRAME_HEADER_LENGTH, Link, SegmentHeader, frame_length,
};
use seckill::store::journal::file::{ReadError, segment_name};
use seckill::store::journal::record;
use simulation::disk::SimulatedDisk;
use simulation::journal::book::{Book, numbered, read, small};

const SEGMENT_BYTES: u64 = 4_096;

/// A journal of one segment with `frames` frames of one record each, and where they start and end.
fn written(frames: u64) -> (SimulatedDisk, Vec<u8>, Vec<usize>) {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(SEGMENT_BYTES));
    for _ in 0..frames {
        assert!(book.write(0, 1));
    }
    book.journal.close();
    let content = read(&disk).expect("readable");
    assert_eq!(content.scan.segments, [1]);
    let mut places: Vec<usize> = content.frames.iter().map(|p| p.offset as usize).collect();
    places.push(content.scan.end.offset as usize);
    (disk.clone(), disk.bytes(&segment_name(1)), places)
}

/// A disk whose only segment has these bytes.
fn holding(bytes: Vec<u8>) -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    disk.set_bytes(&segment_name(1), bytes);
    disk
}

/// What a journal with these bytes comes to: its records, or the refused place.
fn check(bytes: Vec<u8>) -> Result<usize, (String, u64)> {
    match read(&holding(bytes)) {
        Ok(content) => Ok(content.records.len()),
        Err(ReadError::Corrupt { file, offset, .. } | ReadError::Refused { file, offset, .. }) => {
            Err((file, offset))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_last_frame_torn_at_any_byte_is_cut_and_the_journal_goes_on() {
    let (_, whole, places) = written(3);
    let (start, end) = (places[2], places[3]);
    for cut in start..end {
        for (name, tail) in [("zeros", 0), ("truncated", 1), ("garbage", 2)] {
            let mut bytes = whole.clone();
            bytes[cut..].fill(0);
            match tail {
                1 => bytes.truncate(cut),
                // Another batch's bytes never come to lie behind a torn frame, but rubbish may.
                2 => bytes[end + 16..end + 96].fill(0x5A),
                _ => {}
            }
            let disk = holding(bytes);
            let content = read(&disk).unwrap_or_else(|error| panic!("{name} at {cut}: {error}"));
            assert_eq!(content.records.len(), 2, "{name} at {cut}");
            let torn = content.scan.torn.is_some();
            assert_eq!(torn, cut > start || tail == 2, "{name} at {cut}");
            let mut book = Book::open(&disk, small(SEGMENT_BYTES));
            assert!(book.write(0, 1), "{name} at {cut}");
            book.journal.close();
            let content = read(&disk).unwrap_or_else(|error| panic!("{name} at {cut}: {error}"));
            assert_eq!(content.records.len(), 3, "{name} at {cut}");
            assert_eq!(content.scan.torn, None, "{name} at {cut}");
        }
    }
}

#[test]
fn a_last_frame_of_which_any_sectors_are_missing_is_cut() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(8_192));
    assert!(book.write(0, 1) && book.write(0, 40));
    book.journal.close();
    let content = read(&disk).expect("readable");
    let start = content.frames[1].offset as usize;
    let end = content.scan.end.offset as usize;
    let whole = disk.bytes(&segment_name(1));
    let first_sector = start / 512;
    let sectors = (end - 1) / 512 - first_sector + 1;
    assert!(sectors > 5);
    for lost in 1..1_u32 << sectors {
        let mut bytes = whole.clone();
        for sector in (0..sectors).filter(|sector| lost >> sector & 1 == 1) {
            let from = ((first_sector + sector) * 512).max(start);
            bytes[from..((first_sector + sector + 1) * 512).min(end)].fill(0);
        }
        assert_eq!(check(bytes), Ok(1), "sectors lost: {lost:b}");
    }
}

#[test]
fn a_file_truncated_at_any_byte_keeps_its_whole_frames() {
    let (_, whole, places) = written(3);
    for length in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes.truncate(length);
        let expected = places[1..].iter().filter(|end| **end <= length).count();
        assert_eq!(check(bytes), Ok(expected), "truncated to {length}");
    }
}

#[test]
fn any_flipped_bit_is_refused_with_file_and_byte() {
    let (_, whole, places) = written(4);
    let name = segment_name(1);
    for (what, from, to) in [
        ("a frame in the middle", places[1], places[2]),
        ("the first frame", places[0], places[1]),
        ("the last frame", places[3], places[4]),
    ] {
        for byte in from..to {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[byte] ^= 1 << bit;
                let place = Err((name.clone(), from as u64));
                assert_eq!(check(bytes), place, "{what}: bit {bit} of byte {byte}");
            }
        }
    }
    // The last four bytes of a header carry nothing.
    for byte in 0..places[0] - 4 {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1 << bit;
            assert_eq!(check(bytes), Err((name.clone(), 0)), "header: bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn a_torn_header_is_cut_because_nothing_was_confirmed_behind_it() {
    let (_, whole, places) = written(1);
    for cut in 0..places[0] - 4 {
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        let disk = holding(bytes);
        assert_eq!(read(&disk).map(|content| content.records.len()).ok(), Some(0), "{cut}");
        let mut book = Book::open(&disk, small(SEGMENT_BYTES));
        assert!(book.write(0, 1), "cut at {cut}");
        book.journal.close();
        assert_eq!(read(&disk).map(|content| content.records.len()).ok(), Some(1), "{cut}");
    }
}

/// A segment written by hand: frames as `(number, epoch, chain, record's seq)`.
fn forged(frames: &[(u64, u64, Option<u32>, u64)]) -> Vec<u8> {
    let header = SegmentHeader { number: 1, first_frame: 1, chain: 0, epoch: 0, marks: vec![0; 3] };
    let mut bytes = header.encode();
    let mut last = Link { number: 0, crc: 0, epoch: 0 };
    for (number, epoch, chain, seq) in frames.iter().copied() {
        let mut frame = vec![0; FRAME_HEADER_LENGTH];
        record::encode(&numbered(0, seq, seq), &mut frame);
        let length = frame_length(frame.len() - FRAME_HEADER_LENGTH);
        let crc = frame::seal(&mut frame, number, epoch, chain.unwrap_or(last.crc));
        assert_eq!((frame.len(), frame.len() % ALIGNMENT), (length, 0));
        bytes.extend_from_slice(&frame);
        last = Link { number, crc, epoch };
    }
    bytes.resize(SEGMENT_BYTES as usize, 0);
    bytes
}

#[test]
fn frames_that_do_not_follow_are_refused() {
    let second = forged(&[(1, 5, None, 1)]).iter().rposition(|b| *b != 0).expect("a frame") + 1;
    let refused = Err((segment_name(1), second as u64));
    for (what, frames, expected) in [
        ("two of one owner", [(1, 5, None, 1), (2, 5, None, 2)], Ok(2)),
        ("a newer owner's", [(1, 5, None, 1), (2, 6, None, 2)], Ok(2)),
        ("an older owner's behind a newer's", [(1, 5, None, 1), (2, 4, None, 2)], refused.clone()),
        ("a gap between frames", [(1, 5, None, 1), (3, 5, None, 2)], refused.clone()),
        ("a frame twice", [(1, 5, None, 1), (1, 5, None, 2)], refused.clone()),
        ("a wrong chain", [(1, 5, None, 1), (2, 5, Some(77), 2)], refused.clone()),
        ("a gap between records", [(1, 5, None, 1), (2, 5, None, 3)], refused),
    ] {
        assert_eq!(check(forged(&frames)), expected, "{what}");
    }
}

#[test]
fn a_missing_segment_is_refused() {
    let disk = SimulatedDisk::default();
    let mut book = Book::open(&disk, small(512));
    for _ in 0..12 {
        assert!(book.write(1, 2));
    }
    book.journal.close();
    let segments = read(&disk).expect("readable").scan.segments;
    assert!(segments.len() >= 4, "{segments:?}");
    for missing in &segments[1..segments.len() - 1] {
        let damaged = disk.copy();
        damaged.remove(&segment_name(*missing)).expect("it is there");
        let Err(ReadError::Corrupt { file, .. }) = read(&damaged) else {
            panic!("accepted without segment {missing}");
        };
        assert_eq!(file, segment_name(missing + 1));
        let emptied = disk.copy();
        emptied.set_bytes(&segment_name(*missing), vec![0; 512]);
        assert!(matches!(read(&emptied), Err(ReadError::Corrupt { .. })), "segment {missing}");
        let swapped = disk.copy();
        swapped.set_bytes(&segment_name(*missing), disk.bytes(&segment_name(missing + 1)));
        assert!(matches!(read(&swapped), Err(ReadError::Corrupt { .. })), "segment {missing}");
    }
}
