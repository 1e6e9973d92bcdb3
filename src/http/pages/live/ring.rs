//! The figures of the last hour by the second, and of the last day by the minute, in memory of a fixed
//! size.
//!
//! A place belongs to a second of the clock, not to a sample: a second without a sample is a gap, and
//! stays one in every picture. Must not know where samples come from, nor how they are shown.

use super::series::{Fold, SERIES, Series, UNKNOWN, Values};
use domain::ItemId;

/// Items that have a history at the same time.
pub const ITEMS_MAX: usize = 32;
/// Seconds of the finer ring.
pub const SECONDS: usize = 3_600;
/// Minutes of the coarser ring.
pub const MINUTES: usize = 1_440;

/// An item's units at one second, and how many asked for it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ItemSample {
    /// Units that can be bought.
    pub available: u32,
    /// Units of orders that are not paid.
    pub reserved: u32,
    /// Units of paid orders.
    pub sold: u32,
    /// Purchases of the item a second, by a sample of them.
    pub requests: f32,
}

/// All figures of one second, or of one minute.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The second since 1970, or a minute's first one. 0 where there is no sample.
    pub at: u32,
    /// The value of each series.
    pub values: Values,
    /// What is in each item's place.
    pub items: [ItemSample; ITEMS_MAX],
}

impl Sample {
    /// No sample yet.
    pub const NONE: Self = Self {
        at: 0,
        values: UNKNOWN,
        items: [ItemSample { available: 0, reserved: 0, sold: 0, requests: 0.0 }; ITEMS_MAX],
    };
}

/// Which stretch of time is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    /// The last five minutes, by the second.
    FiveMinutes,
    /// The last hour.
    Hour,
    /// The last 24 hours.
    Day,
}

impl Range {
    /// The range of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "5m" => Self::FiveMinutes,
            "1h" => Self::Hour,
            "24h" => Self::Day,
            _ => return None,
        })
    }

    /// Seconds of the whole range, and those between two points.
    pub fn seconds(self) -> (u32, u32) {
        match self {
            Self::FiveMinutes => (300, 1),
            Self::Hour => (3_600, 6),
            Self::Day => (86_400, 180),
        }
    }
}

/// A stretch of history, as columns.
#[derive(Clone, PartialEq, Debug)]
pub struct History {
    /// The second of the first point.
    pub from: u32,
    /// Seconds between two points.
    pub step: u32,
    /// The points; none for a gap.
    pub points: Vec<Option<Values>>,
    /// The units of each item that were reserved or sold; none for a gap.
    pub taken: Vec<(ItemId, Vec<Option<u32>>)>,
}

/// Both rings, and which item has which place in them.
#[derive(Debug)]
pub struct Rings {
    seconds: Box<[Sample]>,
    minutes: Box<[Sample]>,
    places: [Option<ItemId>; ITEMS_MAX],
    /// The minute that is being filled.
    minute: u32,
}

impl Default for Rings {
    fn default() -> Self {
        Self {
            seconds: vec![Sample::NONE; SECONDS].into(),
            minutes: vec![Sample::NONE; MINUTES].into(),
            places: [None; ITEMS_MAX],
            minute: 0,
        }
    }
}

impl Rings {
    /// Which item has which place.
    pub fn places(&self) -> &[Option<ItemId>; ITEMS_MAX] {
        &self.places
    }

    /// Gives the places to these items. An item that has one keeps it with its history; the history of
    /// an item that is no longer wanted ends where its place is needed.
    pub fn give_places(&mut self, wanted: &[ItemId]) {
        let wanted = &wanted[..wanted.len().min(ITEMS_MAX)];
        for item in wanted {
            if self.places.contains(&Some(*item)) {
                continue;
            }
            let is_free = |place: &Option<ItemId>| place.is_none_or(|item| !wanted.contains(&item));
            // One that nobody ever had first, so that history lasts.
            let place = self.places.iter().position(Option::is_none);
            let Some(place) = place.or_else(|| self.places.iter().position(is_free)) else {
                return;
            };
            self.places[place] = Some(*item);
            for sample in self.seconds.iter_mut().chain(&mut self.minutes) {
                sample.items[place] = ItemSample::default();
            }
        }
    }

    /// Takes a sample in. One that is not later than the last is ignored.
    pub fn push(&mut self, sample: &Sample) {
        let minute = sample.at / 60;
        if minute < self.minute {
            return;
        }
        if minute > self.minute {
            self.close_minute();
            self.minute = minute;
        }
        self.seconds[sample.at as usize % SECONDS] = *sample;
    }

    /// Folds the seconds of the minute that is being filled.
    fn close_minute(&mut self) {
        let first = self.minute * 60;
        if let Some(folded) = self.fold_seconds(first, 60) {
            self.minutes[self.minute as usize % MINUTES] = Sample { at: first, ..folded };
        }
    }

    /// The sample of this second, if there is one.
    fn second(&self, at: u32) -> Option<&Sample> {
        let sample = &self.seconds[at as usize % SECONDS];
        (sample.at == at && at > 0).then_some(sample)
    }

    fn fold_seconds(&self, from: u32, count: u32) -> Option<Sample> {
        fold((from..from + count).filter_map(|at| self.second(at)))
    }

    fn fold_minutes(&self, from: u32, count: u32) -> Option<Sample> {
        let minute = |at: u32| {
            let sample = &self.minutes[(at / 60) as usize % MINUTES];
            (sample.at == at && at > 0).then_some(*sample)
        };
        let first = from - from % 60;
        // The minute that is being filled is in the seconds alone.
        let open = self.minute * 60;
        let folded: Vec<Sample> = (first..from + count)
            .step_by(60)
            .filter_map(|at| if at == open { self.fold_seconds(at, 60) } else { minute(at) })
            .collect();
        fold(folded.iter())
    }

    /// The history of this range up to `now`; only what came after `after` if that is given and the
    /// range is by the second.
    pub fn history(&self, range: Range, now: u32, after: Option<u32>) -> History {
        let (seconds, step) = range.seconds();
        let last = now - now % step;
        let mut from = last.saturating_sub(seconds - step);
        if let Some(after) = after.filter(|after| step == 1 && (from..=now).contains(after)) {
            from = after + 1;
        }
        let folded: Vec<Option<Sample>> = (from..=last)
            .step_by(step as usize)
            .map(|at| match range {
                Range::Day => self.fold_minutes(at, step),
                _ => self.fold_seconds(at, step),
            })
            .collect();
        let taken = self.places.iter().enumerate().filter_map(|(place, item)| {
            let taken = |sample: &Option<Sample>| {
                let item = sample.as_ref()?.items[place];
                Some(item.reserved + item.sold)
            };
            Some(((*item)?, folded.iter().map(taken).collect()))
        });
        History {
            from,
            step,
            taken: taken.collect(),
            points: folded.iter().map(|sample| sample.map(|sample| sample.values)).collect(),
        }
    }

    /// The samples of the last hour and the last day, for keeping. The minute that is being filled is
    /// closed.
    pub fn samples(&mut self) -> (Vec<&Sample>, Vec<&Sample>) {
        self.close_minute();
        let present = |sample: &&Sample| sample.at > 0;
        (
            self.seconds.iter().filter(present).collect(),
            self.minutes.iter().filter(present).collect(),
        )
    }

    /// Takes in what was kept: places, seconds and minutes, none of which is later than `now`.
    pub fn restore(
        &mut self,
        places: [Option<ItemId>; ITEMS_MAX],
        seconds: &[Sample],
        minutes: &[Sample],
        now: u32,
    ) {
        self.places = places;
        for sample in seconds.iter().filter(|sample| sample.at <= now) {
            self.seconds[sample.at as usize % SECONDS] = *sample;
            self.minute = self.minute.max(sample.at / 60);
        }
        for sample in minutes.iter().filter(|sample| sample.at <= now) {
            self.minutes[(sample.at / 60) as usize % MINUTES] = *sample;
        }
    }
}

/// Makes one sample of several that follow each other; none of none.
fn fold<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<Sample> {
    let mut folded = Sample::NONE;
    let mut counts = [0_u32; SERIES];
    let (mut requests, mut samples_seen) = ([0.0_f32; ITEMS_MAX], 0_u32);
    for sample in samples {
        samples_seen += 1;
        folded.at = sample.at;
        for (place, series) in Series::ALL.iter().enumerate() {
            let value = sample.values[place];
            if value.is_nan() {
                continue;
            }
            let before = folded.values[place];
            counts[place] += 1;
            folded.values[place] = match series.fold() {
                _ if before.is_nan() => value,
                Fold::Mean => before + (value - before) / counts[place] as f32,
                Fold::Highest => before.max(value),
                Fold::Last => value,
            };
        }
        for (place, item) in sample.items.iter().enumerate() {
            requests[place] += item.requests;
            folded.items[place] = *item;
        }
    }
    for (item, requests) in folded.items.iter_mut().zip(requests) {
        item.requests = requests / samples_seen.max(1) as f32;
    }
    (samples_seen > 0).then_some(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of one series in a picture, at most.
    const POINTS_MAX: usize = 600;

    /// A noon, at the beginning of a minute and of every step.
    const NOON: u32 = 1_790_000_640 - 1_790_000_640 % 86_400;

    fn sample(at: u32, value: f32) -> Sample {
        let mut sample = Sample { at, values: [value; SERIES], ..Sample::NONE };
        sample.items[0] = ItemSample { available: 1, reserved: 2, sold: at % 100, requests: value };
        sample
    }

    fn value(history: &History, place: usize, series: Series) -> Option<f32> {
        history.points[place].map(|values| values[series as usize])
    }

    #[test]
    fn they_stay_within_four_mebibytes() {
        let bytes = (SECONDS + MINUTES) * size_of::<Sample>() + size_of::<Rings>();
        assert!(bytes <= 4 << 20, "{bytes}");
        let rings = Rings::default();
        assert_eq!((rings.seconds.len(), rings.minutes.len()), (SECONDS, MINUTES));
        for range in [Range::FiveMinutes, Range::Hour, Range::Day] {
            assert!(rings.history(range, NOON, None).points.len() <= POINTS_MAX, "{range:?}");
        }
    }

    #[test]
    fn a_second_without_a_sample_is_a_gap() {
        let mut rings = Rings::default();
        for at in [NOON, NOON + 1, NOON + 3] {
            rings.push(&sample(at, 2.0));
        }
        let history = rings.history(Range::FiveMinutes, NOON + 3, None);
        assert_eq!((history.points.len(), history.from, history.step), (300, NOON - 296, 1));
        let shown: Vec<bool> = history.points[296..].iter().map(Option::is_some).collect();
        assert_eq!(shown, [true, true, false, true]);
        assert!(history.points[..296].iter().all(Option::is_none));
        // An hour later the same place is another second's.
        let later = rings.history(Range::FiveMinutes, NOON + 3_603, None);
        assert!(later.points.iter().all(Option::is_none));
    }

    #[test]
    fn who_comes_back_gets_what_is_missing() {
        let mut rings = Rings::default();
        (0..10).for_each(|at| rings.push(&sample(NOON + at, at as f32)));
        let history = rings.history(Range::FiveMinutes, NOON + 9, Some(NOON + 6));
        assert_eq!((history.from, history.points.len()), (NOON + 7, 3));
        assert_eq!(value(&history, 0, Series::Placed), Some(7.0));
        for stale in [Some(NOON - 4_000), Some(NOON + 500), None] {
            assert_eq!(rings.history(Range::FiveMinutes, NOON + 9, stale).points.len(), 300);
        }
        assert_eq!(rings.history(Range::FiveMinutes, NOON + 9, Some(NOON + 9)).points, []);
    }

    #[test]
    fn a_minute_is_made_of_its_seconds() {
        let mut rings = Rings::default();
        (0..60).for_each(|at| rings.push(&sample(NOON + at, at as f32)));
        let mut unknown = sample(NOON + 60, 5.0);
        unknown.values = UNKNOWN;
        rings.push(&unknown);
        rings.push(&sample(NOON + 61, 7.0));
        let history = rings.history(Range::Day, NOON + 61, None);
        assert_eq!((history.points.len(), history.step), (480, 180));
        let last = history.points.len() - 1;
        assert_eq!(value(&history, last, Series::P99), Some(59.0));
        // The mean of two minutes, 29.5 and 7, of which the second is still being filled.
        assert_eq!(value(&history, last, Series::Placed), Some(18.25));
        assert_eq!(value(&history, last, Series::Visitors), Some(7.0));
        assert!(history.points[..last].iter().all(Option::is_none));
    }

    #[test]
    fn an_items_place_is_its_own() {
        let mut rings = Rings::default();
        rings.give_places(&[ItemId(1), ItemId(2)]);
        rings.push(&sample(NOON, 1.0));
        rings.give_places(&[ItemId(2), ItemId(3)]);
        assert_eq!(rings.places()[..3], [Some(ItemId(1)), Some(ItemId(2)), Some(ItemId(3))]);
        let taken = |rings: &Rings, item| {
            let history = rings.history(Range::FiveMinutes, NOON, None);
            let found = history.taken.into_iter().find(|(found, _)| *found == item);
            found.and_then(|(_, taken)| *taken.last().expect("a point"))
        };
        assert_eq!(taken(&rings, ItemId(1)), Some(2 + NOON % 100));
        // All places are taken by others: the first one's history ends.
        let others: Vec<ItemId> = (2..34).map(ItemId).collect();
        rings.give_places(&others);
        assert_eq!(rings.places()[0], Some(ItemId(33)));
        assert_eq!(taken(&rings, ItemId(33)), Some(0));
        assert_eq!(taken(&rings, ItemId(1)), None);
        // More than there are places is no harm.
        rings.give_places(&(100..200).map(ItemId).collect::<Vec<_>>());
        assert_eq!(rings.places().iter().flatten().count(), ITEMS_MAX);
    }

    #[test]
    fn what_was_kept_comes_back() {
        let mut rings = Rings::default();
        rings.give_places(&[ItemId(9)]);
        (0..130).for_each(|at| rings.push(&sample(NOON + at, at as f32)));
        let (seconds, minutes) = rings.samples();
        let seconds: Vec<Sample> = seconds.into_iter().copied().collect();
        let minutes: Vec<Sample> = minutes.into_iter().copied().collect();
        assert_eq!((seconds.len(), minutes.len()), (130, 3));
        let mut again = Rings::default();
        again.restore(*rings.places(), &seconds, &minutes, NOON + 100);
        let history = again.history(Range::FiveMinutes, NOON + 129, None);
        assert_eq!(value(&history, 299 - 29, Series::Placed), Some(100.0));
        assert!(history.points[299 - 28..].iter().all(Option::is_none), "later than now");
        assert_eq!(history.taken[0].0, ItemId(9));
        again.push(&sample(NOON + 135, 1.0));
        let day = again.history(Range::Day, NOON + 135, None);
        assert!(day.points.last().expect("a point").is_some());
    }
}
