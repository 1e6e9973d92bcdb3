//! The history as bytes, so that it outlives a restart.
//!
//! Fixed fields behind a head that names their number, and a checksum at the end: what another version
//! wrote, or what was cut off, is no history, and the figures begin anew. Must not know where the bytes
//! are kept.

use super::ring::{ITEMS_MAX, ItemSample, MINUTES, Rings, SECONDS, Sample};
use super::series::SERIES;
use domain::ItemId;

const MAGIC: &[u8; 16] = b"seckill-history1";
/// The item of a place that no item has.
const NOBODY: u64 = u64::MAX;

/// The history as bytes: at most four mebibytes.
pub fn encode(rings: &mut Rings) -> Vec<u8> {
    let places = *rings.places();
    let (seconds, minutes) = rings.samples();
    let mut bytes = Vec::with_capacity((seconds.len() + minutes.len()) * size_of::<Sample>() + 512);
    bytes.extend_from_slice(MAGIC);
    for number in [SERIES, ITEMS_MAX, seconds.len(), minutes.len()] {
        bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }
    for place in places {
        bytes.extend_from_slice(&place.map_or(NOBODY, |item| item.0).to_le_bytes());
    }
    for sample in seconds.into_iter().chain(minutes) {
        bytes.extend_from_slice(&sample.at.to_le_bytes());
        for value in sample.values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for item in sample.items {
            for number in [item.available, item.reserved, item.sold] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&item.requests.to_le_bytes());
        }
    }
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The history in these bytes, up to the second `now`; none if they are no history of this version.
pub fn decode(bytes: &[u8], now: u32) -> Option<Rings> {
    let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc32c::crc32c(content).to_le_bytes() != checksum {
        return None;
    }
    let mut reader = Reader(content.strip_prefix(MAGIC)?);
    let mut count = || reader.u32().map(|number| number as usize);
    let (series, items, seconds, minutes) = (count()?, count()?, count()?, count()?);
    if series != SERIES || items != ITEMS_MAX || seconds > SECONDS || minutes > MINUTES {
        return None;
    }
    let mut places = [None; ITEMS_MAX];
    for place in &mut places {
        *place = Some(reader.u64()?).filter(|item| *item != NOBODY).map(ItemId);
    }
    let mut samples =
        |count: usize| (0..count).map(|_| reader.sample()).collect::<Option<Vec<_>>>();
    let (seconds, minutes) = (samples(seconds)?, samples(minutes)?);
    let mut rings = Rings::default();
    rings.restore(places, &seconds, &minutes, now);
    reader.0.is_empty().then_some(rings)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn f32(&mut self) -> Option<f32> {
        self.take().map(f32::from_le_bytes)
    }

    fn sample(&mut self) -> Option<Sample> {
        let mut sample = Sample { at: self.u32()?, ..Sample::NONE };
        for value in &mut sample.values {
            *value = self.f32()?;
        }
        for item in &mut sample.items {
            *item = ItemSample {
                available: self.u32()?,
                reserved: self.u32()?,
                sold: self.u32()?,
                requests: self.f32()?,
            };
        }
        Some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring::Range;
    use super::*;

    const NOON: u32 = 1_790_000_640;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let mut rings = Rings::default();
        rings.give_places(&[ItemId(7)]);
        for at in 0..200 {
            let values = [at as f32; SERIES];
            rings.push(&Sample { at: NOON + at, values, ..Sample::NONE });
        }
        let history = |rings: &Rings| rings.history(Range::Hour, NOON + 200, None);
        let bytes = encode(&mut rings);
        assert!(bytes.len() <= 4 << 20);
        let again = decode(&bytes, NOON + 200).expect("it is a history");
        assert_eq!(again.places(), rings.places());
        let (before, after) = (history(&rings), history(&again));
        assert_eq!(before.taken, after.taken);
        let known = |history: &super::super::ring::History| {
            history.points.iter().flatten().map(|values| values[0]).collect::<Vec<_>>()
        };
        assert_eq!(known(&before), known(&after));
        assert!(known(&after).len() > 30);
        // A clock that was ahead: what is later than now is left out.
        let earlier = decode(&bytes, NOON).expect("it is a history");
        assert_eq!(known(&earlier.history(Range::Hour, NOON + 200, None)), [0.0]);
        for length in [0, 3, 16, 40, bytes.len() - 1] {
            assert!(decode(&bytes[..length], NOON).is_none(), "{length}");
        }
        let mut damaged = bytes.clone();
        damaged[100] ^= 1;
        assert!(decode(&damaged, NOON).is_none());
        damaged.clone_from(&bytes);
        damaged[15] = b'2';
        assert!(decode(&damaged, NOON).is_none());
    }
}
