//! `docs/drills.md`, printed from the table.

use std::fmt::Write;

use super::drill::{Drill, Tests};
use super::further::FURTHER;
use super::table::TABLE;

const HEAD: &str = "\
# Drills

<!-- Printed by `load drills --table`; a test holds that it is. -->

Each drill breaks something on purpose and then asks three questions: is every confirmation that a client saw on record, is nothing doubled, does a valid purchase succeed again? They are asked twice, of the engine's own audit and of clients that do not believe it.

## On any machine

```sh
cargo run --release -p load -- drills                    # all that can be carried out here
cargo run --release -p load -- drills --only 13,21       # some of them
cargo run --release -p load -- drills --quick            # the small ones, in a minute or two
cargo run --release -p load -- drills --server-bin PATH  # another program; a release as it was packed
cargo run --release -p load -- drills --html drills.html # the page, for a release
cargo run --release -p load -- drills --keep DIR         # and what each leaves behind, with the engine's logs
```

Each drill has a directory, an engine and private servers of its own on loopback, and nothing else is touched: no data directory that was there before, no server that runs already. The page says of each whether it passed, failed, or was skipped and why; how many confirmations are on record, that nothing is doubled, after how many seconds the shop sold again, and the seed, which `--seed` takes back. Exit code 0: no drill failed; 1: one did; 2: they could not be carried out.

| carried out by | what that is |
|---|---|
| scenario | a load by `load`'s generator, with what befalls it meanwhile |
| procedure | steps on any build of the engine, while `load` watches; with strace, a small tmpfs or a private server where the drill says so, and skipped where these are not there |
| failpoints | a procedure on a build that has failpoints, which `--failpoint-bin PATH` names: `cargo build --release --features fail/failpoints --target-dir target/failpoints` makes one |
| cargo test | the tests that are named; some need a simulated disk, others a cluster |

";

const MIDDLE: &str = "
Those marked with * are part of `--quick`, which CI carries out on its debug build.

## By `cargo test` alone

The tests below `tests/product/drills/` run the real binary on a temporary data directory, speak HTTP to it, and end with `seckill audit` over the directory and the confirmations that clients noted. Those that need a server of their own (Redis, RabbitMQ, MariaDB, etcd) are skipped with a line where it is not installed. Whatever draws numbers prints `SECKILL_SEED=…`; setting that variable draws the same ones again.

```sh
cargo test --test product drills          # all of them
cargo test --test product drills::kills   # one
SECKILL_SEED=7 cargo test --test product drills::kills -- --nocapture
SECKILL_REQUIRE_SERVICES=1 cargo test --test product backends   # on private Redis, RabbitMQ, MariaDB
```

| what is broken beside the numbered drills | tests |
|---|---|
";

const FOOT: &str = "
## Ten million records

A debug build has nothing to say about speed, so this one is a measurement and not a test:

```sh
cargo bench --bench recovery
```

writes a journal of ten million grants and starts the engine on it without a checkpoint, once with the
grants spread over 64 shards and once with all of them in one. It prints the seconds until the engine
is ready and the process's peak memory. Figures are in [load/README.md](../load/README.md#figures).
";

/// The whole document.
#[must_use]
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    text.push_str(
        "| # | drill | passes when | carried out by | tests of the same |\n|---|---|---|---|---|\n",
    );
    for drill in TABLE {
        let Drill { id, name, passes, carried, tests, .. } = drill;
        let star = if drill.is_quick() { "*" } else { "" };
        let by = carried.words();
        let tests = named(tests);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {id}{star} | {name} | {passes} | {by} | {tests} |");
    }
    text.push_str(MIDDLE);
    for further in FURTHER {
        let _ = writeln!(text, "| {} | {} |", further.name, named(further.tests));
    }
    text.push_str(FOOT);
    text
}

fn named(tests: Tests) -> String {
    let each = tests.iter().map(|(test, remark)| match *remark {
        "" => format!("`{test}`"),
        remark => format!("`{test}` ({remark})"),
    });
    each.collect::<Vec<_>>().join("; ")
}
