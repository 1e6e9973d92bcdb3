//! The table of all drills. Numbers are never given anew: tests, documents and reports name drills by them.

use super::drill::{Carried, Drill};
use super::procedures::{
    broker, checkpoints, crowds, deaths, disk, hostile, orders, recovery, starts, tokens,
};

/// All drills, in the order of their numbers, after the one that has a name instead.
pub const TABLE: &[Drill] = &[
    Drill {
        id: "kills",
        name: "kill -9 at any moment, three times, under load",
        passes: "what was confirmed is there, once",
        carried: Carried::Scenario(include_str!("scenarios/kills.toml")),
        tests: &[
            ("product drills::kills", "fifty times on one directory"),
            ("product backends::sale", "with Redis, RabbitMQ and MariaDB"),
        ],
    },
    Drill {
        id: "1",
        name: "killed after a decision, before it is in the journal",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["shard-after-decide", "shard-before-append"]))
        }),
        tests: &[("product drills::crash_points", "`shard-after-decide`, `shard-before-append`")],
    },
    Drill {
        id: "2",
        name: "killed around a write",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["journal-before-write", "journal-after-write"]))
        }),
        tests: &[("product drills::crash_points", "`journal-before-write`, `journal-after-write`")],
    },
    Drill {
        id: "3",
        name: "killed after a sync",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["journal-after-sync"]))
        }),
        tests: &[("product drills::crash_points", "`journal-after-sync`")],
    },
    Drill {
        id: "4",
        name: "killed around the answers of a batch",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["journal-before-release", "journal-after-release"]))
        }),
        tests: &[(
            "product drills::crash_points",
            "`journal-before-release`, `journal-after-release`",
        )],
    },
    Drill {
        id: "5",
        name: "killed before a batch is published",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["relay-before-send"]))
        }),
        tests: &[("product drills::crash_points", "`relay-before-send`")],
    },
    Drill {
        id: "6",
        name: "killed after a batch is published",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["relay-after-send"]))
        }),
        tests: &[("product drills::crash_points", "`relay-after-send`")],
    },
    Drill {
        id: "7",
        name: "killed before the order store commits",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["consumer-before-apply"]))
        }),
        tests: &[("product drills::crash_points", "`consumer-before-apply`")],
    },
    Drill {
        id: "8",
        name: "killed between the commit and its acknowledgement",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(setting, &["consumer-after-apply"]))
        }),
        tests: &[("product drills::crash_points", "`consumer-after-apply`")],
    },
    Drill {
        id: "9",
        name: "killed around a checkpoint",
        passes: "ready again within 10 s; what was confirmed is there",
        carried: Carried::Failpoints(|setting| {
            Box::pin(deaths::dies_at(
                setting,
                &["checkpoint-before-write", "checkpoint-after-write"],
            ))
        }),
        tests: &[(
            "product drills::crash_points",
            "`checkpoint-before-write`, `checkpoint-after-write`",
        )],
    },
    Drill {
        id: "10",
        name: "bytes that were not synced are lost with the power (a simulated disk)",
        passes: "nothing confirmed is missing; leaving out a sync is found",
        carried: Carried::Test,
        tests: &[
            ("engine simulation::journal_crash::nothing_that_was_let_go_is_lost", ""),
            (
                "engine simulation::journal_crash::a_journal_that_leaves_a_sync_out_is_found",
                "planted",
            ),
            ("engine simulation::engine_crash", "the whole engine on it"),
        ],
    },
    Drill {
        id: "11",
        name: "the last record torn, at every byte",
        passes: "it is cut and logged, and the journal goes on",
        carried: Carried::Test,
        tests: &[
            (
                "engine simulation::journal_damage::a_last_frame_torn_at_any_byte_is_cut_and_the_journal_goes_on",
                "",
            ),
            (
                "engine simulation::journal_damage::a_last_frame_of_which_any_sectors_are_missing_is_cut",
                "",
            ),
        ],
    },
    Drill {
        id: "12",
        name: "a flipped bit in the middle of the journal",
        passes: "it refuses to start, and names the place",
        carried: Carried::Procedure(|setting| Box::pin(disk::a_flipped_bit(setting))),
        tests: &[
            (
                "product drills::audit::a_flipped_byte_in_the_journal_is_found_where_it_is_and_nothing_starts",
                "",
            ),
            (
                "engine simulation::journal_damage::any_flipped_bit_is_refused_with_file_and_byte",
                "",
            ),
        ],
    },
    Drill {
        id: "13",
        name: "a sync fails once, and would not again (strace)",
        passes: "the process stops; nobody of that batch is answered",
        carried: Carried::Procedure(|setting| Box::pin(disk::a_failed_sync(setting))),
        tests: &[(
            "product drills::disk::after_a_failed_sync_nobody_is_answered_and_the_process_stops",
            "",
        )],
    },
    Drill {
        id: "14",
        name: "the disk is full (a small tmpfs)",
        passes: "purchases are refused with 503 before it is full; with room it sells",
        carried: Carried::Procedure(|setting| Box::pin(disk::a_full_disk(setting))),
        tests: &[(
            "product drills::disk::a_full_disk_refuses_before_it_is_full_and_sells_again_with_room",
            "",
        )],
    },
    Drill {
        id: "15",
        name: "a sync takes 50 ms, 2 s, and for ever (strace)",
        passes: "sheds, within its permits; no false confirmation",
        carried: Carried::Procedure(|setting| Box::pin(disk::slow_syncs(setting))),
        tests: &[("product drills::slow", "")],
    },
    Drill {
        id: "16",
        name: "the sync of a directory left out (a simulated disk)",
        passes: "a new segment survives; leaving it out is found",
        carried: Carried::Test,
        tests: &[
            (
                "engine simulation::journal_crash::a_journal_that_leaves_a_sync_out_is_found",
                "planted",
            ),
            ("engine simulation::journal_segments", ""),
        ],
    },
    Drill {
        id: "17",
        name: "Redis killed",
        passes: "no purchase fails",
        carried: Carried::Scenario(include_str!("scenarios/redis-killed.toml")),
        tests: &[(
            "product backends::redis::redis_dies_forgets_and_is_slow_and_no_purchase_notices",
            "",
        )],
    },
    Drill {
        id: "18",
        name: "Redis emptied, and then the engine started again",
        passes: "the same state",
        carried: Carried::Scenario(include_str!("scenarios/redis-emptied.toml")),
        tests: &[(
            "product backends::redis::redis_dies_forgets_and_is_slow_and_no_purchase_notices",
            "emptied while the engine runs, and while it does not",
        )],
    },
    Drill {
        id: "19",
        name: "a checkpoint that is stale, ahead of the journal, damaged",
        passes: "caught up with; refused; ignored",
        carried: Carried::Procedure(|setting| Box::pin(checkpoints::wrong_checkpoints(setting))),
        tests: &[
            (
                "product backends::redis::an_older_checkpoint_is_caught_up_with_and_a_damaged_one_does_without",
                "in Redis",
            ),
            (
                "product backends::redis::a_checkpoint_ahead_of_the_journal_keeps_the_shop_closed",
                "in Redis",
            ),
        ],
    },
    Drill {
        id: "20",
        name: "Redis answers after 5 s",
        passes: "purchases do not notice",
        carried: Carried::Scenario(include_str!("scenarios/redis-slow.toml")),
        tests: &[(
            "product backends::redis::redis_dies_forgets_and_is_slow_and_no_purchase_notices",
            "",
        )],
    },
    Drill {
        id: "21",
        name: "RabbitMQ away for long",
        passes: "sales go on, and the backlog drains",
        carried: Carried::Scenario(include_str!("scenarios/rabbitmq-down.toml")),
        tests: &[(
            "product backends::rabbitmq::a_broker_that_dies_or_forgets_everything_delays_orders_and_loses_none",
            "",
        )],
    },
    Drill {
        id: "22",
        name: "the queue deleted, and its binding",
        passes: "it is made again; an alarm; nothing is lost",
        carried: Carried::Procedure(|setting| Box::pin(broker::a_queue_deleted(setting))),
        tests: &[(
            "product backends::rabbitmq::a_queue_that_is_deleted_is_made_again_and_filled_again",
            "with and without something to send",
        )],
    },
    Drill {
        id: "23",
        name: "all that RabbitMQ holds wiped, with messages in it",
        passes: "published again; every order is stored",
        carried: Carried::Procedure(|setting| Box::pin(broker::a_broker_wiped(setting))),
        tests: &[(
            "product backends::rabbitmq::a_broker_that_dies_or_forgets_everything_delays_orders_and_loses_none",
            "",
        )],
    },
    Drill {
        id: "24",
        name: "messages ten times, shuffled",
        passes: "one row each",
        carried: Carried::Test,
        tests: &[
            ("store orders::delivery", "any delivery ends in the same rows, on SQLite and MariaDB"),
            ("product backends::sale", "every kill delivers again"),
        ],
    },
    Drill {
        id: "25",
        name: "nacks, a channel closed, a connection blocked",
        passes: "no hot loop, no skip",
        carried: Carried::Test,
        tests: &[
            (
                "product backends::rabbitmq::a_broker_that_takes_no_messages_is_told_and_what_it_cannot_read_is_set_aside",
                "out of memory, connections closed",
            ),
            ("store broker::faults", "nacks of a full queue"),
        ],
    },
    Drill {
        id: "26",
        name: "a message that cannot be read",
        passes: "it is a dead letter, and the rest flows",
        carried: Carried::Procedure(|setting| Box::pin(broker::a_poisoned_message(setting))),
        tests: &[(
            "product backends::rabbitmq::a_broker_that_takes_no_messages_is_told_and_what_it_cannot_read_is_set_aside",
            "",
        )],
    },
    Drill {
        id: "27",
        name: "MySQL away for longer than RabbitMQ waits for its consumer",
        passes: "reconnects, drains",
        carried: Carried::Procedure(|setting| Box::pin(broker::a_store_away_for_long(setting))),
        tests: &[
            (
                "product backends::mariadb::a_broker_that_loses_patience_meanwhile_delivers_again",
                "",
            ),
            ("product backends::mariadb::mariadb_fails_and_each_order_is_one_row", "killed"),
        ],
    },
    Drill {
        id: "28",
        name: "a deadlock; the answer to a commit lost",
        passes: "one row",
        carried: Carried::Test,
        tests: &[
            ("product backends::mariadb::a_transaction_that_loses_a_deadlock_is_tried_again", ""),
            ("product backends::mariadb::mariadb_fails_and_each_order_is_one_row", ""),
        ],
    },
    Drill {
        id: "29",
        name: "an order that is stored with other content",
        passes: "an alarm, and not swallowed",
        carried: Carried::Procedure(|setting| Box::pin(orders::other_content(setting))),
        tests: &[(
            "product backends::mariadb::an_order_stored_with_other_content_is_told_and_set_aside",
            "",
        )],
    },
    Drill {
        id: "30",
        name: "a node of a cluster cut off from etcd, both ways and each way alone",
        passes: "it grants nothing, and its shards sell elsewhere",
        carried: Carried::Test,
        tests: &[
            (
                "product drills::cluster::a_node_that_is_cut_off_grants_nothing_and_its_shards_sell_elsewhere",
                "",
            ),
            ("engine simulation::cluster_seeds", "by seeds"),
        ],
    },
    Drill {
        id: "31",
        name: "an owner frozen for longer than its lease, and woken under load",
        passes: "it confirms nothing of its own",
        carried: Carried::Test,
        tests: &[(
            "product drills::cluster::an_owner_that_was_frozen_and_wakes_confirms_nothing_of_its_own",
            "",
        )],
    },
    Drill {
        id: "32",
        name: "a link that comes and goes",
        passes: "no double, no false refusal",
        carried: Carried::Test,
        tests: &[(
            "product drills::cluster::an_append_that_is_not_answered_or_late_is_one_order",
            "",
        )],
    },
    Drill {
        id: "33",
        name: "the answer to an append lost",
        passes: "one order",
        carried: Carried::Test,
        tests: &[(
            "product drills::cluster::an_append_that_is_not_answered_or_late_is_one_order",
            "",
        )],
    },
    Drill {
        id: "34",
        name: "a wall clock that is an hour off",
        passes: "nothing expires early; no way in",
        carried: Carried::Test,
        tests: &[("product drills::clocks", "")],
    },
    Drill {
        id: "35",
        name: "a million buyers for a hundred units of one item",
        passes: "exactly a hundred are sold; memory stays flat",
        carried: Carried::Procedure(|setting| Box::pin(crowds::a_million_buyers(setting))),
        tests: &[(
            "engine cluster::buckets::a_crowd_at_all_nodes_gets_exactly_the_stock_of_all_buckets",
            "an item of several buckets",
        )],
    },
    Drill {
        id: "36",
        name: "ten thousand items at once",
        passes: "the counters of each add up (I1)",
        carried: Carried::Procedure(|setting| Box::pin(crowds::ten_thousand_items(setting))),
        tests: &[],
    },
    Drill {
        id: "37",
        name: "ten thousand repeats of one request",
        passes: "one order, one answer",
        carried: Carried::Procedure(|setting| Box::pin(crowds::ten_thousand_repeats(setting))),
        tests: &[],
    },
    Drill {
        id: "38",
        name: "clients who repeat five times when there is no answer",
        passes: "one order each (I7); no more repeats than that",
        carried: Carried::Procedure(|setting| Box::pin(crowds::impatient_clients(setting))),
        tests: &[],
    },
    Drill {
        id: "39",
        name: "slow heads, slow bodies, slow readers",
        passes: "closed; others wait no longer",
        carried: Carried::Procedure(|setting| Box::pin(hostile::slow_clients(setting))),
        tests: &[(
            "product drills::hostile::slow_heads_slow_bodies_and_slow_readers_are_closed_while_others_buy",
            "",
        )],
    },
    Drill {
        id: "40",
        name: "bodies of a gigabyte, 10,000 headers, compressed bodies, streams opened and reset",
        passes: "413, 431 or closed; memory stays flat",
        carried: Carried::Procedure(|setting| Box::pin(hostile::oversized_clients(setting))),
        tests: &[
            ("product drills::hostile::what_is_too_large_is_refused_in_little_memory", ""),
            ("http limits::http2_streams_opened_and_reset_in_a_row_end_the_connection", ""),
        ],
    },
    Drill {
        id: "41",
        name: "malformed, deep and repeated JSON, bad UTF-8, what is no HTTP",
        passes: "4xx; nothing changes",
        carried: Carried::Procedure(|setting| Box::pin(hostile::nonsense(setting))),
        tests: &[("product drills::hostile::nonsense_is_refused_and_changes_nothing", "")],
    },
    Drill {
        id: "42",
        name: "quantities and prices that cannot be",
        passes: "4xx; nothing changes",
        carried: Carried::Procedure(|setting| Box::pin(hostile::impossible_numbers(setting))),
        tests: &[("product drills::hostile::nonsense_is_refused_and_changes_nothing", "")],
    },
    Drill {
        id: "43",
        name: "a buy token forged, expired, another user's, another item's, repeated",
        passes: "401 or 403; one order",
        carried: Carried::Procedure(|setting| Box::pin(tokens::wrong_tokens(setting))),
        tests: &[("http buy_tokens", ""), ("product drills::buy_tokens", "")],
    },
    Drill {
        id: "44",
        name: "an item that panics for ever",
        passes: "set aside with 503; its neighbours sell",
        carried: Carried::Failpoints(|setting| Box::pin(deaths::a_poisoned_item(setting))),
        tests: &[("product drills::poison", "")],
    },
    Drill {
        id: "45",
        name: "a bad configuration; two processes on one data directory",
        passes: "exits at once, with the reason",
        carried: Carried::Procedure(|setting| Box::pin(starts::bad_starts(setting))),
        tests: &[("product drills::starting", "also a taken address, and fewer shards")],
    },
    Drill {
        id: "46",
        name: "SIGTERM and a start, during a sale",
        passes: "drains; no outcome is unknown after a repeat",
        carried: Carried::Scenario(include_str!("scenarios/restarted.toml")),
        tests: &[
            ("product drills::stopping::a_restart_in_the_middle_of_a_sale_loses_no_answer", ""),
            ("product backends::sale", "with all three servers"),
        ],
    },
    Drill {
        id: "47",
        name: "a restart without checkpoints after many records",
        passes: "bounded time and memory",
        carried: Carried::Procedure(|setting| Box::pin(recovery::a_long_journal(setting))),
        tests: &[(
            "product drills::recovery::two_hundred_thousand_orders_come_back_as_they_were",
            "ten million: below",
        )],
    },
    Drill {
        id: "48",
        name: "killed at each step of a transfer between the buckets of an item",
        passes: "its units arrive, once",
        carried: Carried::Test,
        tests: &[
            (
                "product drills::buckets",
                "`transfer-after-sent`, `transfer-after-received`, `transfer-after-settled`",
            ),
            ("product drills::cluster_buckets", "at three nodes, each of which dies"),
            ("domain stock_model::buckets", "lost, doubled and late messages"),
        ],
    },
    Drill {
        id: "49",
        name: "hours of all of it, by seeds",
        passes: "replayable",
        carried: Carried::Test,
        tests: &[
            (
                "engine simulation::cluster_seeds",
                "`load simulate --seeds 100000`, and the scenario `soak`",
            ),
            ("engine simulation::cluster_seeds::a_run_is_what_its_seed_says", ""),
        ],
    },
];
