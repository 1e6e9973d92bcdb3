//! The contract on SQLite files.

use super::{Part, World, contract};
use domain::ShardId;
use seckill::store::checkpoint::{CheckpointError, CheckpointStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::path::PathBuf;
use tempfile::TempDir;

struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("checkpoints.sqlite")
    }

    async fn execute(&self, statement: &str) {
        let options = SqliteConnectOptions::new().filename(self.path());
        let mut connection: SqliteConnection = options.connect().await.expect("a connection");
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("a statement");
        connection.close().await.expect("closes");
    }
}

fn row(shard: ShardId, part: Part, number: u32) -> String {
    let place = i64::from(shard.0) << 32 | i64::from(number);
    match part {
        Part::Header => format!("shards WHERE shard = {shard}"),
        Part::Item => format!("items WHERE place = {place}"),
        Part::Chunk => format!("chunks WHERE place = {place}"),
        Part::Payments(order_id) => {
            format!("payments WHERE shard = {shard} AND order_id = {order_id}")
        }
    }
}

impl World for File {
    async fn reopen(&self) -> CheckpointStore {
        CheckpointStore::open_sqlite(&self.path()).await.expect("opens")
    }

    async fn lose(&self) {
        let tables = ["shards", "items", "chunks", "payments"];
        let statements = tables.map(|table| format!("DELETE FROM {table}"));
        self.execute(&statements.join("; ")).await;
    }

    async fn corrupt(&self, shard: ShardId, part: Part, number: u32) {
        let row = row(shard, part, number);
        let column = if part == Part::Header { "header" } else { "content" };
        let table = row.split(' ').next().expect("a table");
        let condition = row.split_once("WHERE").expect("a condition").1;
        self.execute(&format!(
            "UPDATE {table} SET {column} = CAST(substr({column}, 1, 9) || X'5A'
             || substr({column}, 11) AS BLOB) WHERE {condition}"
        ))
        .await;
    }

    async fn remove(&self, shard: ShardId, part: Part, number: u32) {
        if part == Part::Header {
            // The row is the checkpoint; without it there is none.
            self.execute(&format!("UPDATE shards SET header = X'' WHERE shard = {shard}")).await;
        } else {
            self.execute(&format!("DELETE FROM {}", row(shard, part, number))).await;
        }
    }
}

contract!(Some(File::new()));

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let file = File::new();
    std::fs::write(file.path(), vec![0x5a; 100_000]).expect("writes");
    let error = CheckpointStore::open_sqlite(&file.path()).await.expect_err("must be noticed");
    assert!(matches!(error, CheckpointError::Corrupt(_)), "{error}");
}
