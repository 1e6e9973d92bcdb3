//! How many different members each key has shown in a while, in a fixed amount of memory.
//!
//! Of each key 192 bits are kept, of which every member sets one; from how many are unset follows about
//! how many there were (linear counting: Whang, Vander-Zanden and Taylor, 1990). Up to some 500 that is
//! exact enough for a rule. A key that finds no room takes the place of the one that has shown the
//! fewest, and its bits, so that nobody gains by being forgotten. Must not know what the keys are.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Places of a line.
const PLACES: usize = 4;
/// Words of bits that are kept of each key.
const WORDS: usize = 3;
/// Bits that are kept of each key.
const BITS: u32 = WORDS as u32 * u64::BITS;

/// A key's tag, with the number of the while in which its bits were set; and the bits.
#[derive(Default)]
struct Place {
    owner: AtomicU64,
    bits: [AtomicU64; WORDS],
}

impl Place {
    /// Returns how many of its bits are set.
    fn ones(&self) -> u32 {
        self.bits.iter().map(|word| word.load(Relaxed).count_ones()).sum()
    }
}

#[repr(align(64))]
#[derive(Default)]
struct Line([Place; PLACES]);

/// A table of counts.
pub struct DistinctTable {
    lines: Box<[Line]>,
    hasher: RandomState,
}

impl fmt::Debug for DistinctTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DistinctTable of {} lines", self.lines.len())
    }
}

impl DistinctTable {
    /// Makes a table of at most so many bytes, and one line at least.
    pub fn of_bytes(bytes: usize) -> Self {
        let lines = 1_usize << (bytes / size_of::<Line>()).max(1).ilog2();
        Self { lines: (0..lines).map(|_| Line::default()).collect(), hasher: RandomState::new() }
    }

    /// Notes that the key has shown the member in the while of this number, and returns about how many
    /// different ones it has shown in it.
    pub fn add(&self, key: impl Hash, member: impl Hash, window: u32) -> u32 {
        let hash = self.hasher.hash_one(key);
        let Line(places) = &self.lines[hash as usize & (self.lines.len() - 1)];
        let owner = (hash >> 32) << 32 | u64::from(window);
        let bit = (self.hasher.hash_one(member) % u64::from(BITS)) as usize;
        let place = places
            .iter()
            .find(|place| place.owner.load(Relaxed) == owner)
            .unwrap_or_else(|| take(places, owner));
        place.bits[bit / u64::BITS as usize].fetch_or(1 << (bit % u64::BITS as usize), Relaxed);
        count(place.ones())
    }

    /// Returns about how many different members the key has shown in the while of this number.
    pub fn of(&self, key: impl Hash, window: u32) -> u32 {
        let hash = self.hasher.hash_one(key);
        let Line(places) = &self.lines[hash as usize & (self.lines.len() - 1)];
        let owner = (hash >> 32) << 32 | u64::from(window);
        let place = places.iter().find(|place| place.owner.load(Relaxed) == owner);
        place.map_or(0, |place| count(place.ones()))
    }
}

/// Takes a place for the owner: its own or another's of an earlier while, else that of the fewest bits.
fn take(places: &[Place; PLACES], owner: u64) -> &Place {
    let window = owner as u32;
    let age = |place: &Place| place.owner.load(Relaxed) as u32 != window;
    if let Some(place) = places.iter().find(|place| age(place)) {
        // Two at once may lose a bit or two of each other's.
        place.bits.iter().for_each(|word| word.store(0, Relaxed));
        place.owner.store(owner, Relaxed);
        return place;
    }
    let place = places.iter().min_by_key(|place| place.ones()).unwrap_or(&places[0]);
    place.owner.store(owner, Relaxed);
    place
}

/// Returns about how many members set so many bits.
fn count(ones: u32) -> u32 {
    let unset = BITS.saturating_sub(ones).max(1);
    let estimate = f64::from(BITS) * (f64::from(BITS) / f64::from(unset)).ln();
    estimate.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_near_enough_and_of_their_while() {
        let table = DistinctTable::of_bytes(1 << 20);
        for members in [1_u32, 5, 20, 60, 200] {
            let keys = 400_u32;
            let counted = (0..keys).map(|key| {
                let shown = (0..members).map(|member| table.add(key, (key, member), members));
                let last = shown.fold(0, |_, count| count);
                // What was shown before counts once.
                assert_eq!(table.add(key, (key, 0_u32), members), last);
                assert_eq!(table.of(key, members), last);
                (f64::from(last) / f64::from(members) - 1.0).abs()
            });
            // Of a few members, one that is not told from another is more than a tenth.
            let tenth = f64::max(0.1, 1.0 / f64::from(members));
            // Some 358 are to be expected of 200 members, give or take 6: the table is keyed by chance.
            let near = counted.filter(|error| *error <= tenth).count();
            assert!(near > 300, "{near} of {keys} keys with {members} are a tenth off at most");
        }
        assert_eq!(table.of(1_u32, 999), 0, "another while");
        assert_eq!(count(BITS), 1_009);
    }

    #[test]
    fn a_key_that_takes_a_place_takes_what_was_counted() {
        let table = DistinctTable::of_bytes(size_of::<Line>());
        for key in 0..PLACES as u32 {
            for member in 0..30 {
                table.add(key, member, 1);
            }
        }
        assert!(table.add(100_u32, 0_u32, 1) > 15, "it begins where the smallest was");
        assert_eq!(table.add(100_u32, 0_u32, 2), 1, "the next while begins anew");
    }
}
