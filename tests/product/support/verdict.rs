//! `seckill audit`, read by the drills.

use super::site::Site;
use serde_json::Value;
use std::fmt::Write;

/// What the audit says.
#[derive(Debug)]
pub struct Verdict {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its report; null where there is none.
    pub report: Value,
    /// What it complained of.
    pub errors: String,
}

impl Verdict {
    /// Audits the site's data directory against what clients saw.
    pub fn of(site: &Site, confirmed: impl IntoIterator<Item = u64>) -> Self {
        let mut lines = String::new();
        for order in confirmed {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{order}");
        }
        let file = site.path("confirmations");
        std::fs::write(&file, lines).expect("written");
        let file = file.to_str().expect("UTF-8");
        let output = site.run(&["audit", "--json", "--confirmations", file]);
        Self {
            code: output.status.code(),
            report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The check of this invariant.
    pub fn check(&self, invariant: &str) -> &Value {
        let checks = self.report["checks"].as_array();
        let check = checks.and_then(|all| all.iter().find(|one| one["invariant"] == invariant));
        check.unwrap_or_else(|| panic!("no {invariant} in {self:?}"))
    }

    /// The invariants that are broken.
    pub fn broken(&self) -> Vec<&str> {
        let checks = self.report["checks"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        let broken = checks.iter().filter(|check| check["verdict"] == "broken");
        broken.filter_map(|check| check["invariant"].as_str()).collect()
    }

    /// Orders on record, whatever became of them.
    pub fn orders(&self) -> u64 {
        let orders = self.report["orders"].as_object().unwrap_or_else(|| panic!("{self:?}"));
        orders.values().filter_map(Value::as_u64).sum()
    }

    /// Nothing is broken. A catalogue that the drill has lost is another matter, and fails the audit
    /// all the same: `drills::identities` holds when.
    pub fn must_balance(&self) {
        let is_lost =
            self.report["unknown_items"].as_array().is_some_and(|items| !items.is_empty());
        assert_eq!(self.code, Some(i32::from(is_lost)), "{:#}\n{}", self.report, self.errors);
        assert_eq!(self.broken(), Vec::<&str>::new());
    }
}
