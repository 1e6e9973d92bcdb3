//! Checkpoints that are stale, of the future, and damaged. Drill 19.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use crate::drills::evidence::{Evidence, wants};
use crate::drills::opening::Opening;
use crate::drills::setting::Setting;
use crate::drills::shop::Shop;
use crate::stage::EngineOptions;
use crate::{Error, Result};

const EXIT_DATA: i32 = 4;
const CHECKPOINTS: &str = "checkpoints.db";

/// 19: a checkpoint that is stale, ahead of the journal, damaged.
pub async fn wrong_checkpoints(setting: &Setting) -> Result<Evidence> {
    let mut shop = Shop::open(setting, Opening::default()).await?;
    let data = shop.data();
    shop.trade().await?;
    shop.engine().stop().await?;
    let older = shop.home().join("older");
    copy(&data, &older)?;
    shop.engine().start_again().await?;
    shop.trade().await?;
    let before = shop.standings().await?;
    shop.engine().stop().await?;

    // The journal is older than the checkpoints: it has lost what was confirmed since.
    let newer = shop.home().join("newer.db");
    std::fs::copy(data.join(CHECKPOINTS), &newer).map_err(copying())?;
    let stale = shop.home().join("stale.db");
    std::fs::copy(older.join(CHECKPOINTS), &stale).map_err(copying())?;
    put(&newer, &older)?;
    let options = EngineOptions { data: older.clone(), ..shop.engine().options().clone() };
    let (code, said) = options.serve_in_vain().await?;
    let refused = code == Some(EXIT_DATA) && said.contains("the journal has lost records");

    put(&stale, &data)?;
    shop.engine().start_again().await?;
    let caught_up = shop.standings().await? == before;
    shop.trade().await?;
    shop.engine().stop().await?;

    damage(&data.join(CHECKPOINTS)).await?;
    shop.repaired();
    shop.engine().start_again().await?;
    shop.trade().await?;
    let ignored = shop.engine().log().contains("recovering without the checkpoint");
    let own = vec![
        wants("one of the future", "refused", if refused { "refused" } else { "taken" }, refused),
        wants(
            "a stale one",
            "caught up with",
            if caught_up { "caught up with" } else { "not" },
            caught_up,
        ),
        wants("a damaged one", "ignored", if ignored { "ignored" } else { "not told" }, ignored),
    ];
    shop.close(own).await
}

/// Puts a file of checkpoints in the place of those in a data directory, whose shop is stopped.
fn put(file: &Path, data: &Path) -> Result<()> {
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("{CHECKPOINTS}{beside}")));
    }
    std::fs::copy(file, data.join(CHECKPOINTS)).map(drop).map_err(copying())
}

/// No shard's header can be read any more.
async fn damage(file: &Path) -> Result<()> {
    let failed = |error: sqlx::Error| Error::Server(format!("damaging the checkpoints: {error}"));
    let options = SqliteConnectOptions::new().filename(file);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    let pool = pool.map_err(failed)?;
    sqlx::query("UPDATE shards SET header = x'00'").execute(&pool).await.map_err(failed)?;
    pool.close().await;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(copying())?;
    let entries: Vec<PathBuf> = std::fs::read_dir(from)
        .map_err(copying())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    for path in entries {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(copying())?;
        }
    }
    Ok(())
}

fn copying() -> impl FnOnce(std::io::Error) -> Error {
    Error::io("copying a data directory")
}
