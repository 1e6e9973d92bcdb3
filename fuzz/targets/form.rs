//! Forms with a file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seckill::http::fuzzing::form(bytes);
});
