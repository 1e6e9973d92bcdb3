//! How many different visitors there were, about: a HyperLogLog sketch, which knows none of them again.
//!
//! 2^14 registers: 16 kB however many come, and right to within 1 % two times in three. Sketches of
//! several processes, or of one before and after a restart, are merged without counting anybody twice.

use crate::store::database::StoreError;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use std::fmt;

/// The logarithm of the number of registers.
const LG_K: u8 = 14;
/// The most bytes of a sketch that is kept.
pub const SKETCH_BYTES_MAX: usize = 32 << 10;

/// A sketch of a set of visitors.
#[derive(Clone)]
pub struct Sketch(HllSketch);

impl Default for Sketch {
    fn default() -> Self {
        Self(HllSketch::new(LG_K, HllType::Hll8).expect("the parameters are constants"))
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sketch(about {})", self.estimate())
    }
}

impl Sketch {
    /// Adds a visitor.
    pub fn add(&mut self, visitor: u64) {
        self.0.update(visitor);
    }

    /// Adds all visitors of another sketch.
    pub fn merge(&mut self, other: &Self) {
        let mut union = HllUnion::new(LG_K).expect("the parameter is a constant");
        union.update(&self.0);
        union.update(&other.0);
        self.0 = union.to_sketch(HllType::Hll8);
    }

    /// How many visitors there are, about.
    pub fn estimate(&self) -> u64 {
        self.0.estimate().round().max(0.0) as u64
    }

    /// The sketch as bytes, at most `SKETCH_BYTES_MAX`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// The sketch in these bytes.
    ///
    /// # Errors
    /// Returns [`StoreError::Corrupt`] if they are none of this size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::corrupt(format!("a sketch of visitors: {what}"));
        if bytes.len() > SKETCH_BYTES_MAX {
            return Err(corrupt("too many bytes"));
        }
        let sketch = HllSketch::deserialize(bytes).map_err(|error| corrupt(&error.to_string()))?;
        if sketch.lg_config_k() != LG_K || sketch.target_type() != HllType::Hll8 {
            return Err(corrupt("it is of another size"));
        }
        Ok(Self(sketch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(visitors: std::ops::Range<u64>) -> Sketch {
        let mut sketch = Sketch::default();
        visitors.for_each(|visitor| sketch.add(visitor.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        sketch
    }

    fn check(sketch: &Sketch, expected: u64) {
        let error = (sketch.estimate() as f64 - expected as f64).abs() / (expected as f64).max(1.0);
        assert!(error <= 0.03, "{} for {expected}", sketch.estimate());
    }

    /// A version of the library lost registers here: what was loaded counts on.
    #[test]
    fn nobody_is_lost_or_counted_twice_over_a_restart() {
        for size in [0, 1, 7, 100, 3_000, 50_000, 300_000] {
            let before = sketch(0..size);
            check(&before, size);
            let bytes = before.to_bytes();
            assert!(bytes.len() <= SKETCH_BYTES_MAX, "{}", bytes.len());
            let mut after = Sketch::from_bytes(&bytes).expect("a sketch");
            assert_eq!(after.estimate(), before.estimate());
            // Half of those who come now were there before.
            (size / 2..size + size / 2)
                .for_each(|visitor| after.add(visitor.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            check(&after, size + size / 2);
            after.merge(&before);
            check(&after, size + size / 2);
            after.merge(&sketch(2 * size..3 * size));
            check(&after, 2 * size + size / 2);
            let again = Sketch::from_bytes(&after.to_bytes()).expect("a sketch");
            assert_eq!(again.estimate(), after.estimate());
        }
    }

    #[test]
    fn other_bytes_are_no_sketch() {
        let bytes = sketch(0..1_000).to_bytes();
        for length in [0, 1, 8, 100] {
            assert!(Sketch::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Sketch::from_bytes(&[0; 64]).is_err());
        assert!(Sketch::from_bytes(&vec![7; SKETCH_BYTES_MAX + 1]).is_err());
    }
}
