//! The `seckill` command. No logic: see `seckill::cli`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Only test builds have failpoints; any other build has none to set up.
    let _failpoints = fail::has_failpoints().then(fail::FailScenario::setup);
    seckill::cli::run()
}
