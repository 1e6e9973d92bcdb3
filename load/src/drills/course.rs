//! The course of a run of drills: those that are wanted, one after another, each within its time.

use std::time::{Duration, Instant};

use super::drill::{Carried, Drill};
use super::evidence::Evidence;
use super::page::{Ending, Page, Row};
use super::procedures::scenario::a_scenario;
use super::setting::Setting;
use super::table::TABLE;
use crate::stage::Machine;
use crate::{Error, Result};

/// A drill that takes longer hangs.
const DRILL_WAIT_MAX: Duration = Duration::from_secs(400);

/// The drills with these numbers or names, in the order of the table; all if none is named.
///
/// # Errors
/// Returns [`Error::Missing`] with the first that is not there.
pub fn chosen(only: &[String]) -> Result<Vec<&'static Drill>> {
    if let Some(unknown) = only.iter().find(|id| !TABLE.iter().any(|drill| drill.id == *id)) {
        return Err(Error::Missing {
            what: format!("drill {unknown}"),
            remedy: "there are 1 to 49, and kills".to_owned(),
        });
    }
    let wanted = |drill: &&Drill| only.is_empty() || only.iter().any(|id| id == drill.id);
    Ok(TABLE.iter().filter(wanted).collect())
}

/// Carries these drills out and tells of each on standard error when it ends. Those that are not named are
/// kept out of a quick run by their own word.
pub async fn carry_out(setting: &Setting, drills: &[&'static Drill], named: bool) -> Page {
    let machine = Machine::here();
    let mut rows = Vec::with_capacity(drills.len());
    for drill in drills {
        let row = match drill.carried {
            Carried::Test => Row::skipped(drill, by_test(drill)),
            _ if setting.quick && !named && !drill.is_quick() => {
                Row::skipped(drill, "not part of --quick")
            }
            _ => one(setting, drill).await,
        };
        if row.ending != Ending::Skipped {
            let Row { id, name, ending, seconds, .. } = &row;
            eprintln!("{id:>5}  {}  {seconds:>5.1} s  {name}", ending.word());
        }
        rows.push(row);
    }
    let passed = rows.iter().all(|row| row.ending != Ending::Failed);
    Page { passed, seed: setting.seed, program: setting.program.clone(), machine, rows }
}

async fn one(setting: &Setting, drill: &Drill) -> Row {
    let begun = Instant::now();
    let setting = &setting.of_drill(drill.id);
    let carrying = async {
        match drill.carried {
            Carried::Scenario(text) => a_scenario(setting, text).await,
            Carried::Procedure(carry) | Carried::Failpoints(carry) => carry(setting).await,
            Carried::Test => Err(Error::Server(by_test(drill))),
        }
    };
    let found: Result<Evidence> = match tokio::time::timeout(DRILL_WAIT_MAX, carrying).await {
        Ok(found) => found,
        Err(_) => {
            let seconds = DRILL_WAIT_MAX.as_secs();
            Err(Error::Server(format!("it did not end within {seconds} s")))
        }
    };
    Row::of(drill, found, begun.elapsed())
}

/// What carries it out instead.
fn by_test(drill: &Drill) -> String {
    let tests: Vec<&str> = drill.tests.iter().map(|(test, _)| *test).collect();
    format!("cargo test: {}", tests.join(", "))
}
