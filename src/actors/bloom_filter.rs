//! A set that never loses a member and rarely errs: two bytes a member, and no lock.
//!
//! A blocked Bloom filter (Putze, Sanders and Singler, 2007): all bits of a member lie in one 64-bit
//! word, so that asking costs one access to memory. A false "maybe" costs the caller a detour, never a wrong answer.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};

/// Members that one word is made for.
const MEMBERS_PER_WORD: usize = 4;
const BITS_PER_MEMBER: u32 = 6;

/// The words that hold the members' bits.
#[derive(Debug)]
pub(super) struct BloomFilter {
    words: Box<[AtomicU64]>,
    hasher: FixedState,
}

impl BloomFilter {
    /// An empty filter for about this many members; more of them only raise the rate of false answers.
    pub(super) fn for_members(members: usize) -> Self {
        let words = (members / MEMBERS_PER_WORD).max(1).next_power_of_two();
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            hasher: FixedState::default(),
        }
    }

    /// The number of members that the filter is made for.
    pub(super) fn capacity(&self) -> usize {
        self.words.len() * MEMBERS_PER_WORD
    }

    /// Inserts a member: from now on [`BloomFilter::may_contain`] is true for it.
    pub(super) fn insert(&self, member: impl Hash) {
        let (word, bits) = self.place(member);
        word.fetch_or(bits, Ordering::Release);
    }

    /// Whether the member may have been inserted. False is certain.
    pub(super) fn may_contain(&self, member: impl Hash) -> bool {
        let (word, bits) = self.place(member);
        word.load(Ordering::Acquire) & bits == bits
    }

    fn place(&self, member: impl Hash) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(member);
        let bits = (0..BITS_PER_MEMBER).fold(0, |bits, part| bits | 1 << (hash >> (part * 6) & 63));
        (&self.words[hash.rotate_left(28) as usize & (self.words.len() - 1)], bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_loses_a_member_and_rarely_errs() {
        let members = 100_000_u64;
        let filter = BloomFilter::for_members(members as usize);
        (0..members).for_each(|member| filter.insert((member, member * 31)));
        assert!((0..members).all(|member| filter.may_contain((member, member * 31))));
        let wrong =
            (0..members).filter(|member| filter.may_contain((*member, member * 31 + 1))).count();
        assert!(wrong < members as usize / 50, "{wrong} false answers in {members}");
    }
}
