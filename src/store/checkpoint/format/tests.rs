//! What is encoded is decoded in its place alone, and no bytes panic.

use super::*;
use domain::{Challenge, Currency, ItemId, SaleId};
use proptest::prelude::*;

fn entry() -> impl Strategy<Value = Entry> {
    (any::<[u64; 3]>(), any::<[u32; 2]>(), any::<[u16; 3]>(), 0_u8..=5).prop_map(
        |(long, middle, short, status)| Entry {
            order_id: OrderId(long[0]),
            user_id: UserId(long[1]),
            request_id: RequestId(long[2]),
            item: middle[0],
            previous: middle[1],
            quantity: short[0],
            attempt: short[1],
            live_units: short[2],
            status: OrderStatus::from_number(status),
        },
    )
}

fn operation() -> impl Strategy<Value = RememberedOperation> {
    (any::<u64>(), 1..u32::MAX).prop_map(|(id, units)| RememberedOperation {
        request_id: RequestId(id),
        action: if id % 3 == 0 { ItemAction::Pause } else { ItemAction::Reduce(units) },
    })
}

/// Open and guarded items in turn, some opened otherwise than they are now.
fn admission(dice: u64) -> Admission {
    let guarded = Admission {
        buy_token: true,
        challenge: Challenge::Proof,
        lead_seconds: 60,
        spread_milliseconds: 2_000,
    };
    if dice.is_multiple_of(3) { guarded } else { Admission::OPEN }
}

fn item() -> impl Strategy<Value = ItemState> {
    (
        any::<[u64; 7]>(),
        any::<[u32; 5]>(),
        any::<u16>(),
        "[a-z0-9]{1,64}",
        1_u8..=3,
        any::<bool>(),
        proptest::collection::vec(operation(), 0..4),
    )
        .prop_map(|(long, middle, limit_per_user, product_id, phase, settled, operations)| {
            ItemState {
                terms: ItemTerms {
                    item_id: ItemId(long[0]),
                    sale_id: SaleId(long[1]),
                    product_id: product_id.into(),
                    price: long[2],
                    currency: Currency::parse("CNY").expect("a code"),
                    allotted: middle[0],
                    limit_per_user,
                    payment_window_milliseconds: long[3],
                    starts_at: Timestamp(long[4]),
                    ends_at: Timestamp(long[5]),
                    admission: admission(long[0]),
                    buckets: Buckets::ONE,
                },
                admission: admission(long[1]),
                phase: ItemPhase::from_number(phase).expect("in range"),
                counters: ItemCounters {
                    allotted: middle[1],
                    available: middle[2],
                    reserved: middle[3],
                    sold: middle[4],
                },
                settled,
                exchange: None,
                last_seq: long[6],
                operations,
            }
        })
}

/// The item as one of several buckets, the second of which is in this shard.
fn of_several(
    item: ItemState,
    shard: ShardId,
    [sent, open_units, received]: [u32; 3],
) -> ItemState {
    let shards = [1, 0, 2].map(|step| ShardId(shard.0 + step)).to_vec();
    let peers = vec![
        Peer { bucket: 0, sent, open_units, received },
        Peer { bucket: 2, sent: received, open_units: sent, received: open_units },
    ];
    let exchange = Exchange { bucket: 1, allotted: sent, peers };
    let buckets = Buckets::over(shards).expect("distinct shards");
    ItemState {
        exchange: Some(Box::new(exchange)),
        terms: ItemTerms { buckets, ..item.terms },
        ..item
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        shard: u16, number: u32, item in item(), long: [u64; 4], middle: [u32; 3],
        entries in prop::collection::vec(entry(), 1..=CHUNK_ENTRIES), payments in 0_u64..3,
    ) {
        let shard = ShardId(shard);
        let [epoch, seq, at, last] = long;
        let (at, last_order_id) = (Timestamp(at), OrderId(last));
        let header = Header { epoch, seq, at, last_order_id, payments };
        prop_assert_eq!(decode_header(shard, &encode_header(shard, &header)), Ok(header));
        let bytes = encode_item(shard, number, &item);
        prop_assert_eq!(decode_item(shard, number, &bytes), Ok(item.clone()));
        let place = ShardId(shard.0 % 1_000);
        let bucket = of_several(item, place, middle);
        let bytes = encode_item(place, number, &bucket);
        prop_assert_eq!(decode_item(place, number, &bytes), Ok(bucket));
        for length in 0..bytes.len() {
            prop_assert!(decode_item(place, number, &bytes[..length]).is_err());
        }
        let chunk = Chunk::from_entries(&entries).expect("not too many");
        let bytes = encode_chunk(shard, number, Some(&chunk));
        prop_assert!(bytes.len() <= CHUNK_LENGTH_MAX);
        prop_assert_eq!(decode_chunk(shard, number, &bytes), Ok(Some(Arc::new(chunk))));
        let vacant = encode_chunk(shard, number, None);
        prop_assert_eq!(decode_chunk(shard, number, &vacant), Ok(None));
    }

    #[test]
    fn bytes_that_changed_or_moved_are_recognised(
        entries in prop::collection::vec(entry(), 1..=CHUNK_ENTRIES),
        place: prop::sample::Index, bit in 0_u8..8,
    ) {
        let chunk = Chunk::from_entries(&entries).expect("not too many");
        let mut bytes = encode_chunk(ShardId(3), 7, Some(&chunk));
        prop_assert!(decode_chunk(ShardId(4), 7, &bytes).is_err());
        prop_assert!(decode_chunk(ShardId(3), 8, &bytes).is_err());
        let place = place.index(bytes.len());
        prop_assert!(decode_chunk(ShardId(3), 7, &bytes[..place]).is_err());
        bytes[place] ^= 1 << bit;
        prop_assert!(decode_chunk(ShardId(3), 7, &bytes).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = decode_chunk(ShardId(0), 0, &bytes);
        let _ = decode_item(ShardId(0), 0, &bytes);
        let _ = decode_header(ShardId(0), &bytes);
    }
}
