//! `seckill migrate`: brings the order store's tables up to date before a new version serves, and makes
//! those anew that are gone.

use super::failure::{Exit, Failure};
use super::refused_start::not_opened;
use crate::config::Config;
use crate::opening::{self, OpenError};
use crate::store::data_dir::DataDir;
use std::io::Write;

const NOT_DONE: &str = "the order store was not brought up to date";

/// Migrates the configured order store and says which one it was. A SQLite file is only touched
/// while no process serves from its directory; a server may be in use meanwhile.
///
/// # Errors
/// Returns [`Failure`] if the order store cannot be reached or does not take the migration.
pub fn run(config: &Config, output: &mut impl Write) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure {
        exit: Exit::Fault,
        what: format!("{NOT_DONE}: {error}"),
        meaning: "a serving process goes on with the tables as they are; migrations that were \
                  finished stay"
            .to_owned(),
        remedy: "make the order store reachable, with the right to change tables, and repeat"
            .to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (place, made) = runtime.map_err(|error| failed(&error))?.block_on(async {
        let urls: Vec<String> = config.orders.urls().iter().map(ToString::to_string).collect();
        let (data_dir, place) = if urls.is_empty() {
            let data_dir = DataDir::lock(&config.data.dir);
            let data_dir = data_dir.map_err(|error| not_opened(NOT_DONE, &error.into()))?;
            let place = data_dir.orders().display().to_string();
            (data_dir, place)
        } else {
            (DataDir::look(&config.data.dir), urls.join(" "))
        };
        let orders = opening::orders(config, &data_dir).await;
        let orders = orders.map_err(|error| match error {
            OpenError::OrdersDamaged { .. } => not_opened(NOT_DONE, &error),
            error => failed(&error),
        })?;
        let made = orders.migrate().await.map_err(|error| failed(&error))?;
        Ok::<_, Failure>((place, made))
    })?;
    for table in made {
        writeln!(output, "table {table} was gone and was made anew, empty")?;
    }
    Ok(writeln!(output, "the order store is up to date: {place}")?)
}
