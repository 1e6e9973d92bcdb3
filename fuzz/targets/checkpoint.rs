//! The parts of a checkpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seckill::store::checkpoint::fuzzing::read(bytes);
});
