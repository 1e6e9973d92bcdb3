//! A mall's keys and tokens, and instants.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seckill::http::fuzzing::issuer(bytes);
});
