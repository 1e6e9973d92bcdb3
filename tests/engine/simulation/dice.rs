//! Random numbers from a seed, the same on every machine.

pub use harness::Random as Dice;

/// The seeds to run: `count` of them, or the one in `SECKILL_SEED`.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SECKILL_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=count).collect(),
    }
}

/// Runs `check` and, if it fails, says with which seed.
pub fn with_seed(seed: u64, check: impl FnOnce(Dice)) {
    let told = Told(seed);
    check(Dice::new(seed));
    std::mem::forget(told);
}

/// Tells the seed when it is dropped by a panic.
pub struct Told(pub u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing seed: run again with SECKILL_SEED={}", self.0);
        }
    }
}
