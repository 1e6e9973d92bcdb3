//! Bodies in JSON, the one of a purchase among them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seckill::http::fuzzing::body(bytes);
});
