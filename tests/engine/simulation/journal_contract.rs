//! The journal's contract: each case as a test of its own, for each implementation.

use super::fenced::AllShards;
use super::memory::Memory;
use domain::{Record, ShardId};
use futures_util::FutureExt;
use seckill::store::journal::file::disk::RealDisk;
use seckill::store::journal::file::{FileLog, OpenedFiles};
use seckill::store::journal::{Follower, OpenedLog, record};
use simulation::disk::SimulatedDisk;
use simulation::journal::book::{Book, SHARDS, block_on, number_of, numbered, small};
use std::sync::Arc;
use tempfile::TempDir;

/// A place where a journal outlives its owners.
trait Place: Default {
    /// A journal that is found there.
    type Opened: OpenedLog;

    /// Whether its shards share one sequence of batches: replayed in the order of their commits, and
    /// retired together. Else each shard has a sequence of its own.
    const ONE_SEQUENCE: bool = true;

    /// What an owner finds.
    fn open(&self) -> Self::Opened;
}

/// Files in a directory of the operating system.
struct RealFiles(TempDir);

impl Default for RealFiles {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }
}

impl Place for RealFiles {
    type Opened = OpenedFiles;

    fn open(&self) -> OpenedFiles {
        let disk = RealDisk::open(self.0.path()).expect("a disk");
        FileLog::open(Arc::new(disk), small(2_048))
    }
}

/// Files on a simulated disk.
type SimulatedFiles = SimulatedDisk;

impl Place for SimulatedFiles {
    type Opened = OpenedFiles;

    fn open(&self) -> OpenedFiles {
        FileLog::open(Arc::new(self.clone()), small(512))
    }
}

impl Place for Memory {
    type Opened = Self;

    fn open(&self) -> Self {
        self.clone()
    }
}

impl Place for AllShards {
    type Opened = Self;

    const ONE_SEQUENCE: bool = false;

    fn open(&self) -> Self {
        self.clone()
    }
}

macro_rules! cases {
    ($place:ty: $($case:ident),+ $(,)?) => {
        $(
            #[test]
            fn $case() {
                super::$case::<$place>();
            }
        )+
    };
}

/// Makes every case a test of one implementation.
macro_rules! contract {
    ($implementation:ident: $place:ident) => {
        mod $implementation {
            use super::$place;

            cases! {
                $place:
                effects_come_back_in_the_order_of_append,
                effects_of_many_threads_keep_each_threads_order,
                an_effect_without_records_waits_for_what_was_appended_before,
                watermarks_follow_what_is_durable,
                closing_commits_what_waits,
                a_later_owner_replays_what_was_committed,
                replay_gives_only_what_lies_behind_the_given_numbers,
                replay_ends_where_the_visitor_refuses,
                each_owner_has_a_number_above_the_last_ones,
                a_follower_gives_out_each_record_once_and_in_order,
                a_follower_starts_behind_any_numbers,
                one_shard_is_replayed_while_the_others_go_on,
                nothing_is_retired_that_is_not_covered,
                what_is_left_behind_a_retirement_is_whole,
                records_that_do_not_follow_stop_the_journal,
                a_shard_goes_and_comes_while_the_others_go_on,
            }
        }
    };
}

contract!(files_on_a_real_disk: RealFiles);
contract!(files_on_a_simulated_disk: SimulatedFiles);
contract!(memory: Memory);
contract!(shards_of_a_fenced_log: AllShards);

/// Each shard's sequence numbers of `records`, which are dense behind `after`.
fn assert_dense(records: &[Record], after: &[u64], seqs: &[u64]) {
    let mut last = after.to_vec();
    for found in records {
        let last = &mut last[found.shard.index()];
        assert_eq!(found.seq, *last + 1, "{found:?}");
        *last = found.seq;
    }
    assert_eq!(last, seqs);
}

/// A journal with a few dozen batches: each shard's numbers after each of them.
fn filled<P: Place>(place: &P) -> (Book, Vec<Vec<u64>>) {
    let mut book = Book::start(place.open());
    let mut marks = Vec::new();
    for round in 0..40 {
        assert!(book.write(round % SHARDS, 1 + u64::from(round % 5)));
        marks.push(book.seqs.clone());
    }
    (book, marks)
}

fn follow(follower: &mut Follower) -> Vec<Record> {
    let mut records = Vec::new();
    let mut more = || {
        let next = follower.next(&mut records).now_or_never();
        next.expect("these implementations do not wait").expect("readable")
    };
    while more() {}
    records
}

fn effects_come_back_in_the_order_of_append<P: Place>() {
    let place = P::default();
    let mut book = Book::start(place.open());
    let appended: Vec<u64> =
        (0..200).map(|n| book.append(n % SHARDS, 1 + u64::from(n % 3))).collect();
    assert!(book.told.wait_for(appended[199]));
    assert_eq!(book.told.effects(), appended);
    book.journal.close();
    assert_eq!(book.told.failures(), [""; 0]);
}

fn effects_of_many_threads_keep_each_threads_order<P: Place>() {
    const EACH: u64 = 100;
    let place = P::default();
    let book = Book::start(place.open());
    std::thread::scope(|scope| {
        for shard in 0..SHARDS {
            let journal = &book.journal;
            scope.spawn(move || {
                let mut bytes = Vec::new();
                for seq in 1..=EACH {
                    record::encode(&numbered(shard, seq, seq), &mut bytes);
                    let effect = u64::from(shard) * EACH + seq;
                    journal.append(ShardId(shard), seq, 1, &mut bytes, &mut vec![effect]);
                }
            });
        }
    });
    book.journal.close();
    let effects = book.told.effects();
    for shard in 0..u64::from(SHARDS) {
        let range = shard * EACH + 1..=(shard + 1) * EACH;
        let own: Vec<u64> = effects.iter().copied().filter(|n| range.contains(n)).collect();
        assert_eq!(own, range.collect::<Vec<_>>());
    }
    assert_eq!(book.journal.durable_seqs(), [EACH; SHARDS as usize]);
}

fn an_effect_without_records_waits_for_what_was_appended_before<P: Place>() {
    let place = P::default();
    let mut book = Book::start(place.open());
    for _ in 0..50 {
        let effect = book.append(0, 1);
        let rests_on = book.seqs[0];
        let alone = effect + 1_000;
        book.journal.append(ShardId(0), rests_on, 0, &mut Vec::new(), &mut vec![alone]);
        assert!(book.told.wait_for(alone));
        let effects = book.told.effects();
        assert_eq!(effects[effects.len() - 2..], [effect, alone]);
        assert_eq!(book.journal.durable_seq(ShardId(0)), rests_on);
    }
    book.journal.close();
}

fn watermarks_follow_what_is_durable<P: Place>() {
    let place = P::default();
    let mut book = Book::start(place.open());
    assert_eq!(book.journal.durable_seqs(), [0; SHARDS as usize]);
    for round in 0..20 {
        assert!(book.write(round % SHARDS, 2));
        assert_eq!(book.journal.durable_seqs(), book.seqs);
    }
    book.journal.close();
    let again = Book::start(place.open());
    assert_eq!(again.journal.durable_seqs(), book.seqs);
    assert_eq!(again.journal.durable_seq(ShardId(SHARDS)), 0, "there is no such shard");
    again.journal.close();
}

fn closing_commits_what_waits<P: Place>() {
    let place = P::default();
    let mut book = Book::start(place.open());
    let appended: Vec<u64> = (0..30).map(|n| book.append(n % SHARDS, 4)).collect();
    book.journal.close();
    assert_eq!(book.told.effects(), appended);
    let again = Book::start(place.open());
    assert_dense(&again.replayed, &[0; SHARDS as usize], &book.seqs);
    again.journal.close();
    again.journal.close();
}

fn a_later_owner_replays_what_was_committed<P: Place>() {
    let place = P::default();
    let mut written = 0;
    for _ in 0..4 {
        let mut book = Book::start(place.open());
        let mut numbers: Vec<u64> = book.replayed.iter().map(number_of).collect();
        if !P::ONE_SEQUENCE {
            numbers.sort_unstable();
        }
        assert_eq!(numbers, (1..=written).collect::<Vec<_>>(), "in the order of append");
        assert_dense(&book.replayed, &[0; SHARDS as usize], &book.seqs);
        for round in 0..10 {
            written = book.append(round % SHARDS, 3);
        }
        book.journal.close();
    }
}

fn replay_gives_only_what_lies_behind_the_given_numbers<P: Place>() {
    let place = P::default();
    let (book, marks) = filled(&place);
    book.journal.close();
    for after in &marks {
        let mut records = Vec::new();
        let replayed = place.open().replay(after, |found| {
            records.push(found.clone());
            Ok(())
        });
        assert_eq!(replayed.expect("readable").seqs, book.seqs);
        assert_dense(&records, after, &book.seqs);
    }
}

fn replay_ends_where_the_visitor_refuses<P: Place>() {
    let place = P::default();
    filled(&place).0.journal.close();
    let mut visited = 0;
    let replayed = place.open().replay(&[0; SHARDS as usize], |_| {
        visited += 1;
        if visited < 10 { Ok(()) } else { Err("no more".into()) }
    });
    let error = replayed.err().expect("refused").to_string();
    assert!(error.contains("no more"), "{error}");
    assert_eq!(visited, 10);
}

fn each_owner_has_a_number_above_the_last_ones<P: Place>() {
    let place = P::default();
    let (mut wrote, mut last) = (0, 0);
    for life in 0..6 {
        let mut book = Book::start(place.open());
        assert!(book.journal.epoch() > wrote, "life {life}");
        assert!(book.journal.epoch() >= last, "life {life}");
        assert_eq!(
            book.journal.durable_epoch(ShardId(0)),
            wrote,
            "life {life}: nothing is written yet"
        );
        last = book.journal.epoch();
        if life % 2 == 0 {
            assert!(book.write(0, 1));
            wrote = last;
        }
        assert_eq!(book.journal.durable_epoch(ShardId(0)), wrote, "life {life}");
        book.journal.close();
    }
}

fn a_follower_gives_out_each_record_once_and_in_order<P: Place>() {
    let place = P::default();
    let mut book = Book::start(place.open());
    let mut follower = book.journal.follow(&[0; SHARDS as usize]);
    assert_eq!(follow(&mut follower), []);
    let mut written = 0;
    for round in 0..40 {
        let before = written;
        written = book.append(round % SHARDS, 1 + u64::from(round % 4));
        assert!(book.told.wait_for(written));
        let numbers: Vec<u64> = follow(&mut follower).iter().map(number_of).collect();
        assert_eq!(numbers, (before + 1..=written).collect::<Vec<_>>());
        assert_eq!(follower.seqs(), book.seqs);
    }
    book.journal.close();
    assert_eq!(follow(&mut follower), []);
}

fn a_follower_starts_behind_any_numbers<P: Place>() {
    let place = P::default();
    let (book, marks) = filled(&place);
    for after in &marks {
        assert_dense(&follow(&mut book.journal.follow(after)), after, &book.seqs);
    }
    // Shards that are not asked for are left out.
    let first = follow(&mut book.journal.follow(&[0]));
    assert_dense(&first, &[0], &book.seqs[..1]);
    book.journal.close();
}

fn one_shard_is_replayed_while_the_others_go_on<P: Place>() {
    let place = P::default();
    let (mut book, marks) = filled(&place);
    let shard = ShardId(1);
    for mark in &marks {
        let after = mark[shard.index()];
        let mut records = Vec::new();
        book.append(0, 1);
        let replayed = book.journal.replay(shard, after, |found| {
            records.push(found.clone());
            Ok(())
        });
        replayed.now_or_never().expect("these implementations do not wait").expect("readable");
        assert!(records.iter().all(|found| found.shard == shard));
        let numbers: Vec<u64> = records.iter().map(|found| found.seq).collect();
        assert_eq!(numbers, (after + 1..=book.seqs[shard.index()]).collect::<Vec<_>>());
    }
    book.journal.close();
}

fn nothing_is_retired_that_is_not_covered<P: Place>() {
    let place = P::default();
    let (book, marks) = filled(&place);
    let mut one_behind = book.seqs.clone();
    one_behind[0] = 0;
    let mut not_covered = vec![vec![], vec![0; SHARDS as usize]];
    if P::ONE_SEQUENCE {
        not_covered.push(one_behind);
    }
    for covered in not_covered {
        assert!(!book.journal.can_retire(&covered), "{covered:?}");
        assert_eq!(book.journal.retire(&covered).expect("an answer"), 0, "{covered:?}");
    }
    for covered in &marks {
        let could = book.journal.can_retire(covered);
        let retired = book.journal.retire(covered).expect("an answer");
        assert_eq!(could, retired > 0);
        assert!(!book.journal.can_retire(covered));
        for shard in 0..SHARDS {
            let base = book.journal.base_seq(ShardId(shard));
            assert!(base <= covered[usize::from(shard)], "shard {shard}");
        }
    }
    assert!(book.journal.base_seq(ShardId(0)) > 0, "some of it is gone");
    book.journal.close();
}

fn what_is_left_behind_a_retirement_is_whole<P: Place>() {
    let place = P::default();
    let (mut book, marks) = filled(&place);
    assert!(book.journal.retire(&marks[25]).expect("an answer") > 0);
    let base: Vec<u64> = (0..SHARDS).map(|n| book.journal.base_seq(ShardId(n))).collect();
    assert_dense(&follow(&mut book.journal.follow(&base)), &base, &book.seqs);
    let lost = book.journal.replay(ShardId(0), base[0] - 1, |_| Ok(()));
    let lost = lost.now_or_never().expect("these implementations do not wait");
    assert!(lost.is_err(), "record {} is gone", base[0]);
    assert!(book.write(2, 2));
    book.journal.close();
    let opened = place.open();
    assert_eq!(opened.base().expect("readable"), base);
    let mut again = Book::start(opened);
    assert_dense(&again.replayed, &base, &book.seqs);
    assert_eq!(again.journal.base_seq(ShardId(0)), base[0]);
    assert!(again.write(0, 1));
    again.journal.close();
}

fn records_that_do_not_follow_stop_the_journal<P: Place>() {
    for (seq, name) in [(3, "a gap"), (1, "a repeat")] {
        let place = P::default();
        let mut book = Book::start(place.open());
        assert!(book.write(0, 1));
        let mut bytes = Vec::new();
        record::encode(&numbered(0, seq, 7), &mut bytes);
        book.journal.append(ShardId(0), seq, 1, &mut bytes, &mut vec![7]);
        assert!(!book.told.wait_for(7), "{name}");
        book.append(1, 1);
        book.journal.close();
        assert!(book.journal.has_failed(), "{name}");
        assert_eq!(book.told.failures().len(), 1, "{name}: told once");
        assert_eq!(book.told.effects(), [1], "{name}");
        let again = Book::start(place.open());
        assert_eq!(again.seqs, [1, 0, 0], "{name} was not written");
        again.journal.close();
    }
}

fn a_shard_goes_and_comes_while_the_others_go_on<P: Place>() {
    let place = P::default();
    let mut book = Book::start(place.open());
    let shard = ShardId(0);
    for round in 0..20 {
        let last = book.append(0, 2);
        book.append(1, 1);
        let shut = book.journal.shut(shard);
        let other = book.append(1, 1);
        block_on(shut);
        assert!(book.told.effects().contains(&last), "round {round}: shut before it was released");
        assert_eq!((book.journal.owner(shard), book.journal.durable_seq(shard)), (None, 0));
        book.journal.open(shard, 1_000 + round, book.seqs[0]);
        assert_eq!(book.journal.owner(shard), Some(1_000 + round));
        assert_eq!(book.journal.durable_epoch(shard), 1_000 + round);
        assert_eq!(book.journal.durable_seq(shard), book.seqs[0]);
        assert!(book.told.wait_for(other), "round {round}");
    }
    assert!(book.write(0, 3));
    book.journal.close();
    // After the end nobody waits for a turn.
    block_on(book.journal.shut(shard));
    let seqs = book.seqs.clone();
    drop(book);
    let again = Book::start(place.open());
    assert_eq!(again.seqs, seqs);
    again.journal.close();
}

#[test]
fn a_shard_that_was_fenced_off_is_told_once_and_comes_back_behind_its_new_end() {
    let memory = Memory::default();
    let mut book = Book::start(memory.open());
    assert!(book.write(0, 1));
    memory.fence(ShardId(0));
    let fenced = book.append(0, 2);
    assert_eq!(block_on(book.journal.next_fenced()), ShardId(0));
    block_on(book.journal.shut(ShardId(0)));
    assert_eq!(book.journal.next_fenced().now_or_never(), None);
    memory.give_back(ShardId(0));
    // What was fenced off is not on record.
    book.seqs[0] = 1;
    book.journal.open(ShardId(0), 9, 1);
    assert!(book.write(0, 1));
    book.journal.close();
    assert!(!book.told.effects().contains(&fenced));
    assert_eq!(book.told.failures(), [""; 0]);
    assert_eq!(Book::start(memory.open()).seqs, [2, 0, 0]);
}

#[test]
fn a_fenced_shards_effects_are_dropped_and_the_others_are_released() {
    let memory = Memory::default();
    let mut book = Book::start(memory.open());
    assert!(book.write(0, 1) && book.write(1, 1));
    memory.fence(ShardId(0));
    let fenced = book.append(0, 2);
    // A refusal that rests on what was fenced off.
    book.journal.append(ShardId(0), book.seqs[0], 0, &mut Vec::new(), &mut vec![fenced + 100]);
    let own = book.append(1, 1);
    assert!(book.told.wait_for(own));
    book.journal.close();
    assert!(!book.told.effects().contains(&fenced), "its record is not durable");
    assert_eq!(book.journal.durable_seqs(), [1, 2, 0]);
    assert_eq!(book.told.failures(), [""; 0]);
    assert_eq!(Book::start(memory.open()).seqs, [1, 2, 0]);
}
