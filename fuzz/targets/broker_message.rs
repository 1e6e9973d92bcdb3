//! A message of the broker: as it is, and behind a checksum that is right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use seckill::store::broker::format;
    let _ = format::decode(bytes);
    let mut sealed = bytes.to_vec();
    sealed.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    let _ = format::decode(&sealed);
});
