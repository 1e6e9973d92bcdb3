//! Bearer tokens and buy tokens.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seckill::http::fuzzing::tokens(bytes);
});
