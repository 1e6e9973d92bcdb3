//! Bytes of memory per buyer: 64 is the aim, order, index and gate together.

use domain::{Buy, ItemId};
use domain::{Command, Event, Record, RequestId, ShardId, Stock, Timestamp, UserId};
use seckill::actors::{Gate, Lease};
use support::terms;

const NOW: Timestamp = Timestamp(1_790_000_000_000);
/// What the gate's filter takes for a unit, at most: two bytes rounded up to a power of two.
const FILTER_BYTES_MAX: usize = 4;

fn apply(stock: &mut Stock, event: Event) {
    let record = Record { shard: ShardId(0), seq: stock.seq() + 1, at: NOW, event };
    stock.apply(&record).expect("its own decision");
}

#[test]
fn a_buyer_takes_at_most_64_bytes() {
    let mut stock = Stock::new(ShardId(0));
    apply(&mut stock, Event::ItemOpened(terms(1, 1_000_000, 600_000)));
    let mut buyers = 0;
    for target in [100_000, 250_000, 500_000, 1_000_000] {
        while buyers < target {
            buyers += 1;
            let buy = Buy {
                item_id: ItemId(1),
                user_id: UserId(buyers * 7_919),
                request_id: RequestId(buyers),
                quantity: 1,
            };
            let decision = stock.decide(NOW, &Command::Buy(buy));
            apply(&mut stock, decision.event.expect("stock is left"));
        }
        let bytes = stock.memory_bytes() / target as usize + FILTER_BYTES_MAX;
        println!("{bytes} bytes for each of {target} buyers");
        assert!(bytes <= 64, "{bytes} bytes for each of {target} buyers");
    }
    let item = stock.item(ItemId(1)).expect("opened").clone();
    assert!(Gate::new(&item, ShardId(0), Lease::default()).counters().available == 0);
}
