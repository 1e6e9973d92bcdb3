//! How far those are who are told the shop's events.

use domain::{ShardId, Timestamp, UserId};
use seckill::store::catalogue::{Catalogue, ExternalName};
use seckill::store::database::Database;
use seckill::store::events::{EventPositions, Position, Reading, SINK_NAME_LENGTH_MAX};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn position(shard: u16, seq: u64) -> Position {
    Position { shard: ShardId(shard), seq, lost: (0, 0) }
}

/// A position goes up, and never back: not by an older node, nor by one that still tells of before a replay.
pub async fn positions_go_up_within_a_generation(database: Database) {
    let store = EventPositions::new(database);
    let first = Reading { generation: 1, begins_at: NOW };
    assert_eq!(store.reading("amqp", NOW).await, Ok(first));
    let later = NOW.plus_milliseconds(1);
    assert_eq!(store.reading("amqp", later).await, Ok(first), "it is known already");
    assert_eq!(store.positions("amqp", 1).await, Ok(vec![]));
    let raised = async |generation, positions: &[Position]| {
        store.raise("amqp", generation, positions).await.expect("raised");
        store.positions("amqp", generation).await.expect("an answer")
    };
    let all: Vec<Position> = (0..80).map(|shard| position(shard, 10)).collect();
    assert_eq!(raised(1, &all).await, all);
    let lost = Position { lost: (11, 19), ..position(0, 20) };
    let found = raised(1, &[lost, position(1, 9), position(2, 10)]).await;
    assert_eq!(found[..3], [lost, position(1, 10), position(2, 10)]);
    assert_eq!(raised(1, &[]).await.len(), 80);

    let again = store.begin_again("amqp", Timestamp(0)).await.expect("noted");
    assert_eq!(again, Reading { generation: 2, begins_at: Timestamp(0) });
    assert_eq!(store.positions("amqp", 2).await, Ok(vec![]), "it begins anew");
    assert_eq!(raised(2, &[position(0, 3)]).await, [position(0, 3)]);
    raised(1, &[position(0, 30), position(1, 30)]).await;
    assert_eq!(store.positions("amqp", 2).await, Ok(vec![position(0, 3)]), "that is over");
    assert_eq!(raised(2, &[position(1, 5)]).await, [position(0, 3), position(1, 5)]);
}

/// Receivers know nothing of each other.
pub async fn each_receiver_has_its_own_positions(database: Database) {
    let store = EventPositions::new(database);
    let long = "s".repeat(SINK_NAME_LENGTH_MAX);
    for (sink, seq) in [("amqp", 5), ("AMQP", 6), (long.as_str(), 7)] {
        store.reading(sink, NOW).await.expect("an answer");
        store.raise(sink, 1, &[position(3, seq)]).await.expect("raised");
    }
    let unknown = store.begin_again("new", NOW).await.expect("noted");
    assert_eq!(unknown.generation, 2);
    store.set_back(&[(ShardId(3), 6), (ShardId(4), 0)]).await.expect("lowered");
    for (sink, seq) in [("amqp", 5), ("AMQP", 6), (long.as_str(), 6)] {
        assert_eq!(store.positions(sink, 1).await, Ok(vec![position(3, seq)]), "{sink}");
    }
    store.forget("amqp").await.expect("forgotten");
    assert_eq!(store.positions("amqp", 1).await, Ok(vec![]));
    assert_eq!(store.positions("AMQP", 1).await, Ok(vec![position(3, 6)]));
    let anew = Reading { generation: 1, begins_at: Timestamp(1) };
    assert_eq!(store.reading("amqp", Timestamp(1)).await, Ok(anew));
}

/// Those who came by an issuer are found by their numbers, and others are not.
pub async fn buyers_are_named_by_their_issuer(database: Database) {
    let catalogue = Catalogue::new(database);
    let issuer = "https://login.mall.example";
    let mut known = Vec::new();
    for number in 0..70 {
        let subject = format!("李四-{number}");
        let user_id = catalogue.external_user(issuer, &subject, NOW).await.expect("a number");
        known.push((user_id, ExternalName { issuer: issuer.to_owned(), subject }));
    }
    let users: Vec<UserId> =
        known.iter().map(|(user_id, _)| *user_id).chain([UserId(1), UserId(u64::MAX)]).collect();
    let mut found = catalogue.external_names(&users).await.expect("an answer");
    found.sort_by_key(|(user_id, _)| *user_id);
    known.sort_by_key(|(user_id, _)| *user_id);
    assert_eq!(found, known);
    assert_eq!(catalogue.external_names(&[]).await, Ok(vec![]));
}
