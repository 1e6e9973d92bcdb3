//! The contract of order store and catalogue, each check on SQLite and on MariaDB.

mod catalogue;
mod delivery;
mod events;
mod operators;
mod ownership;
mod payments;
mod progress;
mod rows;
mod sample;
mod set_aside;
mod settings;
mod several;
mod webhooks;

use domain::{Event, ShardId};
use futures_util::FutureExt;
use harness::MariaDb;
use seckill::store::database::{Database, MYSQL_CONNECTIONS_DEFAULT, StoreError};
use seckill::store::orders::{ApplyError, Conflicts, OrderStore};
use sqlx::{Connection, MySqlConnection, SqliteConnection};
use std::path::PathBuf;
use std::sync::OnceLock;
use tokio::sync::{Mutex, MutexGuard};

/// The server that these tests share, each with an empty database and alone.
static SERVER: OnceLock<Option<MariaDb>> = OnceLock::new();
static TURN: Mutex<()> = Mutex::const_new(());

/// Where a test runs.
enum Bench {
    Sqlite(tempfile::TempDir),
    MySql { server: &'static MariaDb, _turn: MutexGuard<'static, ()> },
}

impl Bench {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a temporary folder"))
    }

    /// None where the server is not installed.
    async fn mariadb() -> Option<Self> {
        let turn = TURN.lock().await;
        let server = SERVER.get_or_init(harness::mariadb).as_ref()?;
        if !server.is_running() {
            server.restart().expect("it comes back");
        }
        server.empty().expect("emptied");
        Some(Self::MySql { server, _turn: turn })
    }

    /// The database as it is, through new connections.
    async fn open(&self) -> Database {
        let database = match self {
            Self::Sqlite(folder) => Database::open_sqlite(&file(folder)).await,
            Self::MySql { server, .. } => {
                Database::open_mysql(&server.url().into(), MYSQL_CONNECTIONS_DEFAULT)
            }
        };
        let database = database.expect("the database opens");
        database.migrate().await.expect("the tables are made");
        database
    }

    /// Runs a statement that the store would not.
    async fn execute(&self, statement: &str) {
        match self {
            Self::Sqlite(folder) => {
                let url = format!("sqlite://{}", file(folder).display());
                let mut connection = SqliteConnection::connect(&url).await.expect("it opens");
                sqlx::query(statement).execute(&mut connection).await.expect(statement);
                connection.close().await.expect("closed");
            }
            Self::MySql { server, .. } => drop(server.execute(statement).expect(statement)),
        }
    }
}

/// Another program's transaction, which has locked what a batch writes.
enum Holder {
    Sqlite(SqliteConnection),
    MySql(MySqlConnection),
}

impl Bench {
    async fn lock(&self) -> Holder {
        match self {
            Self::Sqlite(folder) => {
                let url = format!("sqlite://{}", file(folder).display());
                let mut connection = SqliteConnection::connect(&url).await.expect("it opens");
                sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("locked");
                Holder::Sqlite(connection)
            }
            Self::MySql { server, .. } => {
                let url = server.url();
                let mut connection = MySqlConnection::connect(&url).await.expect("it opens");
                let lock = "START TRANSACTION; SELECT * FROM shard_progress FOR UPDATE";
                sqlx::raw_sql(lock).execute(&mut connection).await.expect("locked");
                Holder::MySql(connection)
            }
        }
    }
}

impl Holder {
    async fn release(self) {
        match self {
            Self::Sqlite(mut connection) => {
                sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.expect("released");
            }
            Self::MySql(mut connection) => {
                sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.expect("released");
            }
        }
    }
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("orders.sqlite")
}

/// Runs one check on an empty database.
async fn run<F: Future<Output = ()>>(bench: Bench, check: impl FnOnce(Database) -> F) {
    let database = bench.open().await;
    check(database.clone()).await;
    database.close().await;
}

/// Runs one check on an empty database that it may tamper with.
async fn tampered(bench: Bench, check: impl AsyncFnOnce(&Bench, Database)) {
    let database = bench.open().await;
    check(&bench, database.clone()).await;
    database.close().await;
}

/// Makes each check a test of its own, on each database.
macro_rules! contract {
    ($run:ident: $($module:ident::$check:ident),* $(,)?) => {$(
        mod $check {
            use super::{Bench, $module, $run};

            #[tokio::test]
            async fn on_sqlite() {
                $run(Bench::sqlite(), $module::$check).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                let Some(bench) = Bench::mariadb().await else { return };
                $run(bench, $module::$check).await;
            }
        }
    )*};
}

contract!(
    run:
    events::positions_go_up_within_a_generation,
    events::each_receiver_has_its_own_positions,
    events::buyers_are_named_by_their_issuer,
    settings::entries_are_followed_by_their_changes,
    settings::of_two_changes_at_once_one_is_made,
    settings::settings_have_versions_and_a_history,
    webhooks::an_endpoint_is_made_changed_and_deleted,
    webhooks::what_waits_is_due_in_its_orders_order,
    webhooks::the_log_of_deliveries_is_bounded,

    rows::a_batch_is_stored_and_read_back,
    rows::repeats_change_nothing,
    rows::a_large_batch_is_one,
    rows::a_later_version_never_loses_to_an_older_one,
    rows::contradictions_are_handed_back_and_the_rest_is_kept,
    rows::an_attempt_belongs_to_one_order,
    rows::contradictions_within_a_batch_are_found,
    set_aside::a_conflict_is_kept_once_and_only_where_it_is_to_be,
    set_aside::the_conflicts_of_a_large_batch_are_all_kept,
    progress::every_shard_has_its_own_progress,
    progress::what_is_sealed_is_what_the_rows_add_up_to,
    progress::a_record_that_contradicts_a_row_is_not_missed,
    rows::a_buyers_orders_come_newest_first_in_pages,
    rows::a_sales_orders_come_in_both_directions,
    rows::orders_are_found_by_what_is_known_of_them,
    rows::a_scan_sees_every_order_once,
    rows::items_are_the_fold_of_their_records,
    rows::operations_fill_the_operators_log,
    rows::an_order_is_found_by_its_request,
    payments::a_payment_is_stored_with_what_it_made_of_its_order,
    payments::the_last_word_on_a_payment_stays_and_the_time_of_the_first,
    payments::payments_of_a_large_batch_are_all_stored,
    payments::payments_that_contradict_are_set_aside_whole,
    payments::payments_are_found_by_what_is_known_of_them,
    ownership::the_first_journal_has_the_tables,
    ownership::of_several_journals_at_once_one_has_the_tables,
    delivery::any_delivery_ends_in_the_same_rows,
    delivery::several_consumers_at_once_end_in_the_same_rows,
    catalogue::a_draft_is_created_edited_and_deleted,
    catalogue::a_sale_goes_its_way_and_is_frozen_on_it,
    catalogue::nobody_approves_their_own_sale,
    catalogue::of_two_steps_at_once_one_wins,
    catalogue::sales_are_listed_newest_first_by_status,
    catalogue::a_day_has_the_public_sales_whose_window_touches_it,
    catalogue::a_sale_with_invalid_fields_is_refused,
    catalogue::user_names_are_unique_without_regard_to_case,
    catalogue::users_of_another_issuer_have_one_number_on_all_nodes,
    catalogue::what_operators_do_is_logged,
    catalogue::a_repeated_request_changes_nothing,
    catalogue::numbers_are_above_those_that_journals_have_seen,
    operators::a_link_is_good_once,
    operators::a_disabled_account_is_over_and_its_tokens_too,
    operators::of_two_acceptances_at_once_one_wins,
    catalogue::pictures_are_kept_once_and_named_by_drafts,
);

contract!(
    tampered:
    progress::a_batch_begins_where_the_tables_are_or_is_refused,
    progress::a_lock_that_is_held_for_too_long_costs_that_transaction_alone,
    progress::what_is_gone_or_changed_by_hand_shows,
    progress::tables_of_a_version_without_seals_are_sealed,
    rows::what_was_committed_survives_reopening,
    set_aside::conflicts_are_kept_with_their_batch_or_not_at_all,
    ownership::an_owner_lasts_and_tables_without_one_get_it,
    payments::a_payments_row_with_an_impossible_value_is_an_error_that_names_it,
    payments::tables_of_a_version_without_payments_have_none,
    set_aside::what_is_set_aside_stays_until_it_goes_in,
);

/// Tables as a version left them that had no owner.
async fn lose_the_owner(bench: &Bench) {
    bench.execute("DROP TABLE journal").await;
    bench.execute("DELETE FROM _sqlx_migrations WHERE version IN (4, 50)").await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_a_transient_error_without_its_password() {
    let Some(bench) = Bench::mariadb().await else { return };
    let database = bench.open().await;
    let Bench::MySql { server, .. } = &bench else { return };
    server.kill();
    let error = database.ping().await.expect_err("nobody answers");
    assert!(error.is_transient(), "{error}");
    assert!(!format!("{error} {error:?} {database:?}").contains("seckill:seckill"));
    server.restart().expect("the server comes back");
    database.ping().await.expect("it answers again");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_gives_no_sign_of_life_nobody_waits_for_it() {
    let Some(bench) = Bench::mariadb().await else { return };
    let database = bench.open().await;
    let store = OrderStore::new(&database);
    store.progress().await.expect("an answer, and a connection that is idle");
    let Bench::MySql { server, .. } = &bench else { return };
    server.freeze();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.progress().await }
    });
    let error = database.ping().await.expect_err("nobody answers");
    let said = error.to_string();
    assert!(said.contains(&server.address().to_string()) && said.contains("no answer"), "{said}");
    assert_eq!(waiting.await.expect("no panic"), Err(error.clone()), "who waited is told too");
    assert_eq!(store.progress().now_or_never(), Some(Err(error)), "who comes is told at once");
    server.thaw();
    database.ping().await.expect("it answers again");
    store.progress().await.expect("it answers again");
    server.kill();
    let error = database.ping().await.expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(store.progress().now_or_never(), Some(Err(error)));
}

/// Another node's transaction that stands still keeps its own shards' orders waiting and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_another_shard_is_not_waited_for() {
    let Some(bench) = Bench::mariadb().await else { return };
    let database = bench.open().await;
    let Bench::MySql { server, .. } = &bench else { return };
    let store = OrderStore::new(&database);
    let apply = async |shard: u16, from: usize, to: usize| {
        let (records, progress) = (sample::grants(shard, 20), [(ShardId(shard), to as u64)]);
        store.apply(&records[from..to], &progress, Conflicts::HandedBack).await
    };
    // Few enough that a server would rather look at all rows than at an index.
    for shard in [1, 2, 3, 7] {
        apply(shard, 0, 10).await.expect("the batch is applied");
    }
    let mut other = MySqlConnection::connect(&server.url()).await.expect("it opens");
    let lock = "START TRANSACTION; SELECT * FROM shard_progress WHERE shard = 2 FOR UPDATE; \
                SELECT * FROM shard_seals WHERE shard = 2 FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut other).await.expect("locked");
    for shard in [1, 3, 7] {
        apply(shard, 10, 20).await.expect("nobody holds its rows");
    }
    let refused = apply(2, 10, 20).await;
    assert!(matches!(refused, Err(ApplyError::Store(StoreError::Contention(_)))), "{refused:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("released");
    apply(2, 10, 20).await.expect("the batch is applied");
    database.close().await;
}

/// Wherever in a large batch an insert fails, the shard's progress stays behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_waits_for_all_of_a_batch() {
    let Some(bench) = Bench::mariadb().await else { return };
    let database = bench.open().await;
    let Bench::MySql { server, .. } = &bench else { return };
    let store = OrderStore::new(&database);
    let records = sample::grants(1, 4_000);
    let progress = [(ShardId(1), 4_000)];
    for failing in [&records[3_900], &records[100]] {
        let Event::Order(order) = &failing.event else { unreachable!("grants are orders") };
        let trigger = format!(
            "CREATE TRIGGER refuses BEFORE INSERT ON orders FOR EACH ROW \
             SET NEW.quantity = IF(NEW.order_id = {}, NULL, NEW.quantity)",
            order.order_id
        );
        server.execute(&trigger).expect("the trigger is made");
        store
            .apply(&records, &progress, Conflicts::HandedBack)
            .await
            .expect_err("an insert is refused");
        assert_eq!(store.progress().await, Ok(vec![]));
        server.execute("DROP TRIGGER refuses").expect("the trigger is gone");
    }
    store.apply(&records, &progress, Conflicts::HandedBack).await.expect("the batch is applied");
    assert_eq!(rows::all(&store).await.len(), records.len());
    assert_eq!(store.progress().await, Ok(progress.to_vec()));
    database.close().await;
}

#[tokio::test]
async fn a_migration_that_was_cut_short_is_run_again() {
    let Some(bench) = Bench::mariadb().await else { return };
    bench.open().await.close().await;
    let Bench::MySql { server, .. } = &bench else { return };
    let cut = "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2; \
               DROP TABLE operator_log";
    server.execute(cut).expect("the server obeys");
    bench.open().await.close().await;
    let found = server.execute("SELECT COUNT(*) FROM operator_log").expect("the table is back");
    assert_eq!(found, "0");
}

#[test]
fn a_malformed_url_is_refused_without_being_shown() {
    for url in [
        "",
        "secret",
        "mysql:/secret@",
        "postgres://a:secret@h/d",
        "mysql://a:secret@h",
        "mysql://a:secret@h:x/d",
    ] {
        let error = Database::open_mysql(&url.to_owned().into(), 1).expect_err("no URL");
        assert!(!format!("{error} {error:?}").contains("secret"));
        assert!(!error.is_transient());
    }
}
