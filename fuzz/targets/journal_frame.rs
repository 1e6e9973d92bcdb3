//! A frame of the journal, and the header of a segment: damaged, torn and sealed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use seckill::store::journal::file::frame::{self, FRAME_HEADER_LENGTH, SegmentHeader};
    let _ = frame::parse(bytes);
    let _ = SegmentHeader::decode(bytes);
    let _ = SegmentHeader::newer_version(bytes);
    let mut sealed = vec![0; FRAME_HEADER_LENGTH];
    sealed.extend_from_slice(bytes);
    let crc = frame::seal(&mut sealed, 7, 3, 11);
    let found = frame::parse(&sealed).expect("a frame that was sealed");
    assert_eq!((found.payload, found.link.crc, found.chain), (bytes, crc, 11));
});
