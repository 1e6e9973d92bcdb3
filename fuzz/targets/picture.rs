//! Pictures of items.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seckill::http::fuzzing::picture(bytes);
});
