//! A copy of a journal beside the process that writes it: it has all that was on record at its end, whether segments
//! are linked or copied, and the process does not write into it.

use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{FileLog, SegmentCopy};
use simulation::journal::book::{Book, small};
use std::path::Path;
use std::sync::Arc;

/// So small that a batch begins a segment.
const SEGMENT_BYTES: u64 = 4_096;
/// A file system of its own on most machines, so that nothing can be linked to it.
const ELSEWHERE: &str = "/dev/shm";

fn open(folder: &Path) -> Book {
    let disk = RealDisk::open(folder).expect("a directory");
    Book::start(FileLog::open(Arc::new(disk), small(SEGMENT_BYTES)))
}

fn ends_where_its_journal_does(to: &Path) {
    let from = tempfile::tempdir().expect("a directory");
    let to = tempfile::tempdir_in(to).expect("a directory");
    let (from, to) = (from.path().join("journal"), to.path().join("copy"));
    std::fs::create_dir(&from).expect("a directory");
    let mut book = open(&from);
    assert!(book.write(0, 20));
    let copy = SegmentCopy::begin(&from, &to).expect("begun");
    // Into the segment that is there, and into others.
    assert!(book.write(1, 1) && book.write(1, 30));
    copy.finish().expect("finished");
    assert!(book.write(2, 1) && book.write(2, 9));
    book.journal.close();

    let numbers = |book: &Book| book.replayed.len();
    let mut copied = open(&to);
    assert_eq!(numbers(&copied), 51, "records in the copy");
    assert!(copied.write(0, 1));
    copied.journal.close();
    let book = open(&from);
    assert_eq!(numbers(&book), 61, "records in the journal itself");
    book.journal.close();
}

#[test]
fn a_copy_has_what_was_on_record_at_its_end() {
    ends_where_its_journal_does(&std::env::temp_dir());
}

#[test]
fn a_copy_on_another_file_system_has_it_too() {
    ends_where_its_journal_does(Path::new(ELSEWHERE));
}
