//! What is broken by `cargo test` beside the numbered drills.

use super::drill::Tests;

/// Something that is broken by a test alone, and has no number.
#[derive(Debug)]
pub struct Further {
    /// What is broken, and what is seen.
    pub name: &'static str,
    /// The tests that do it.
    pub tests: Tests,
}

/// All of them.
pub const FURTHER: &[Further] = &[
    Further {
        name: "killed between the order of a guarded purchase and its answer: its token finds the order again",
        tests: &[("product drills::buy_tokens", "")],
    },
    Further {
        name: "killed between a provider's callback and its answer: told again, the money counts once",
        tests: &[("product drills::payment_callbacks", "")],
    },
    Further {
        name: "Redis, RabbitMQ and MariaDB away together, in the middle of a sale and at the start",
        tests: &[(
            "product backends::sale::all_three_go_down_and_come_back_and_no_purchase_fails",
            "",
        )],
    },
    Further {
        name: "a byte that flips behind the writer, a write that the disk swallowed, a segment of a newer version",
        tests: &[("product drills::damage", "")],
    },
    Further {
        name: "a frame that is whole and holds no record",
        tests: &[("product drills::damage", ""), ("engine simulation::journal_owner", "")],
    },
    Further {
        name: "the process stopped and killed, ten times, behind a socket that a service manager holds, under buyers on new connections: none is refused one",
        tests: &[(
            "product operations::service::no_buyer_is_refused_a_connection_while_the_process_is_stopped_or_killed",
            "",
        )],
    },
    Further {
        name: "the journal lost, with the order store alive: current, older than the checkpoints, with messages in the queue",
        tests: &[("product operations::recover", ""), ("product backends::recover", "")],
    },
    Further {
        name: "the order store's file moved away beneath a running shop, and deleted",
        tests: &[(
            "product drills::order_store::a_file_that_goes_beneath_a_running_shop_is_told_and_comes_back_or_is_made_anew",
            "",
        )],
    },
    Further {
        name: "the order store's log deleted beneath a running shop, which is then killed; cut short",
        tests: &[(
            "product drills::files::accounts_and_sales_outlive_a_log_that_is_deleted_and_a_kill",
            "cut short: the tests beside `src/store/database/sqlite.rs`",
        )],
    },
    Further {
        name: "a spare segment of the journal deleted, beneath a running shop and a stopped one",
        tests: &[
            (
                "product drills::files::a_spare_segment_that_goes_is_made_anew_and_is_not_missed_at_a_start",
                "",
            ),
            ("engine simulation::journal_segments", ""),
        ],
    },
    Further {
        name: "starts that are refused, compared byte for byte; the file `identity` deleted",
        tests: &[
            ("product drills::files::a_start_that_is_refused_changes_nothing", ""),
            (
                "product drills::files::an_identity_that_is_gone_is_not_replaced_and_the_advice_has_it",
                "",
            ),
        ],
    },
    Further {
        name: "the files `identity`, `shards` and `token.key` deleted and emptied beneath a running shop",
        tests: &[(
            "product drills::files::what_a_start_reads_is_put_back_beneath_a_running_shop",
            "",
        )],
    },
    Further {
        name: "the file `token.key` deleted",
        tests: &[(
            "product drills::secrets::a_signing_secret_that_is_gone_is_told_with_what_that_means",
            "",
        )],
    },
    Further {
        name: "SIGHUP; a standard output that takes nothing",
        tests: &[
            ("product drills::stopping::a_hangup_reads_the_file_again_and_ends_nothing", ""),
            ("product drills::logging::a_banner_that_nothing_takes_costs_itself_alone", ""),
        ],
    },
    Further {
        name: "a lock of the order store's that another program holds for too long",
        tests: &[(
            "store orders::progress::a_lock_that_is_held_for_too_long_costs_that_transaction_alone",
            "",
        )],
    },
    Further {
        name: "the lock file deleted beneath a running shop; the directory moved away and a copy put in its place",
        tests: &[("product drills::ownership", "")],
    },
    Further {
        name: "a limit of the size of files, and of address space",
        tests: &[("product drills::limits", "")],
    },
    Further {
        name: "umask 000, and a data directory that others can read",
        tests: &[(
            "product drills::starting::what_a_shop_makes_is_its_users_alone_whatever_the_umask_and_the_directory",
            "",
        )],
    },
    Further {
        name: "the demo sold out: in a shop that runs and in one that is stopped",
        tests: &[("product operations::demo", "")],
    },
    Further {
        name: "a full disk below the stores, twice; at a start",
        tests: &[
            (
                "product drills::disk::after_a_full_disk_orders_checkpoints_and_registrations_go_on_by_themselves",
                "",
            ),
            (
                "product drills::disk::a_full_disk_is_told_at_the_start_and_a_disk_to_read_can_be_audited",
                "",
            ),
        ],
    },
    Further {
        name: "another shop's checkpoints and orders: at the start, in the middle of a sale, after an upgrade",
        tests: &[("product backends::two_shops", ""), ("product operations::upgrade", "")],
    },
    Further {
        name: "MariaDB frozen: told, and nobody waits for it",
        tests: &[
            ("product operations::absent", ""),
            ("store orders::while_a_server_gives_no_sign_of_life_nobody_waits_for_it", ""),
        ],
    },
    Further {
        name: "MySQL and Redis away since the start; gone beside a shop that sells nothing; silent at the start",
        tests: &[("product operations::ages", ""), ("product operations::absent", "")],
    },
    Further {
        name: "MariaDB away at a start, after an operator changed limits and lists: they hold",
        tests: &[(
            "product backends::mariadb::a_start_without_mariadb_goes_on_with_the_settings_of_before",
            "",
        )],
    },
    Further {
        name: "one of two order stores killed in the middle of a sale, and its replica, which lags, promoted in its place: each order is stored once",
        tests: &[
            (
                "product backends::replicas::a_replica_that_lags_takes_the_place_of_one_of_two_dead_order_stores_and_nothing_is_lost",
                "",
            ),
            (
                "product backends::replicas::a_replica_that_lags_takes_the_place_of_a_dead_order_store_and_nothing_is_lost",
                "with one store, and more than a segment of orders",
            ),
            (
                "product backends::cluster_replica::a_replica_that_lags_takes_the_place_of_a_clusters_order_store_and_nothing_is_lost",
                "in a cluster, whose nodes are told of it one after another",
            ),
        ],
    },
    Further {
        name: "one of two order stores killed in the middle of a sale, and back: the other one's orders arrive meanwhile; of a cluster, also with a node that dies before it has brought it its orders",
        tests: &[
            (
                "product backends::stores::one_of_two_order_stores_dies_and_the_other_ones_orders_arrive",
                "",
            ),
            (
                "product backends::stores_behind_broker",
                "behind RabbitMQ, which is killed and emptied besides",
            ),
            ("product backends::cluster_stores", "of a cluster"),
        ],
    },
    Further {
        name: "a node behind nginx that dies with a purchase in hand: it is sent to no other one; nginx reloaded twenty times under buyers: each is answered",
        tests: &[
            ("product gateway::balancing::what_a_node_has_read_is_sent_to_no_other", "by HTTP"),
            ("product gateway::grpc::a_call_that_a_node_has_read_is_sent_to_no_other", "by gRPC"),
            (
                "product gateway::grpc::what_a_dead_node_may_have_done_is_not_known_and_its_repeat_finds_the_one_order",
                "",
            ),
            (
                "product gateway::shop::each_purchase_is_answered_while_it_is_reloaded_and_the_shop_balances",
                "",
            ),
        ],
    },
    Further {
        name: "the order store dropped, emptied, cut, restored from an older backup, beside a shop that runs and one that does not, with and without broker",
        tests: &[
            ("product backends::refill", ""),
            (
                "product drills::order_store",
                "in SQLite, and where the journal has deleted what is missing",
            ),
        ],
    },
    Further {
        name: "rows older than the journal changed by hand",
        tests: &[(
            "product drills::order_store::a_row_older_than_the_journal_that_was_changed_by_hand_is_found",
            "",
        )],
    },
    Further {
        name: "tables and columns dropped, also the table that names the journal, beside a shop that sells nothing",
        tests: &[("product operations::tables", "")],
    },
    Further {
        name: "the catalogue lost: no number is given out twice, and readiness and audit say so",
        tests: &[("product drills::identities", "")],
    },
    Further {
        name: "a head that begins behind a full request",
        tests: &[("http limits::a_head_that_begins_behind_a_request_has_the_time_of_any_head", "")],
    },
    Further {
        name: "more connections than open files; answers that nobody reads",
        tests: &[("product drills::descriptors", ""), ("http limits", "")],
    },
    Further {
        name: "a node of a cluster drained, shards moved and spread while buyers buy; by command and by the API",
        tests: &[("product backends::cluster_steer", "")],
    },
    Further {
        name: "a shop that has sold alone becomes a cluster; etcd is lost for good",
        tests: &[("product backends::cluster_begin", "")],
    },
    Further {
        name: "a member of etcd killed, whichever leads; its majority lost",
        tests: &[(
            "product drills::cluster::without_a_majority_nothing_is_sold_and_with_it_all_goes_on",
            "also the scenario `cluster-quorum-lost`",
        )],
    },
    Further {
        name: "a cluster over its log in memory, by seeds: appends, claims and renewals lost, late, doubled and overtaken; nodes that stop, die and are cut off; leases that end wrongly; checkpoints lost and stores away",
        tests: &[(
            "engine simulation::cluster_seeds",
            "how it is searched and what is planted: [cluster.md](cluster.md#how-it-is-searched-for-bugs)",
        )],
    },
    Further {
        name: "killed before and after events are announced, and after the position is kept; RabbitMQ killed while they are: none is missing, what comes twice is the same, no order's events go back",
        tests: &[(
            "product backends::events::all_that_happens_is_announced_whatever_dies",
            "`events-before-deliver`, `events-after-deliver`, `events-after-position`",
        )],
    },
    Further {
        name: "RabbitMQ away for events, and no queue for them",
        tests: &[(
            "product backends::events::a_broker_that_is_away_delays_events_and_no_purchase",
            "",
        )],
    },
    Further {
        name: "a node of a cluster that announces dies, and one stops: the others go on from its positions",
        tests: &[
            (
                "product backends::events::the_nodes_of_a_cluster_announce_each_others_shards_once_they_have_them",
                "",
            ),
            ("engine events", ""),
        ],
    },
    Further {
        name: "a receiver of events that is further behind than the journal is kept",
        tests: &[(
            "engine events::a_receiver_that_is_away_keeps_the_log_up_to_a_limit_and_is_told_what_it_has_lost",
            "",
        )],
    },
    Further {
        name: "killed three times while webhooks are sent, once between sending and keeping that; a receiver that fails, hangs and is gone: no order is missing, and none goes backwards",
        tests: &[("product drills::webhooks", "")],
    },
    Further {
        name: "a data directory that the version before wrote",
        tests: &[("product operations::version_before", "")],
    },
    Further {
        name: "`audit` finds what was planted",
        tests: &[
            ("product drills::audit", ""),
            ("product backends::cluster_audit", "in a cluster's etcd, beside nodes that sell"),
        ],
    },
    Further {
        name: "tokens, passwords and the signing secret stay where they are",
        tests: &[("product drills::secrets", "")],
    },
];
