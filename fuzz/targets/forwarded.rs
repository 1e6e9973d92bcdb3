//! Lines of `X-Forwarded-For`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seckill::http::fuzzing::forwarded(bytes);
});
