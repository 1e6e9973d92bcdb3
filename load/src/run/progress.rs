//! The progress line of a run.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::drive;

/// Progress for a person at a terminal; silent otherwise.
pub struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// A line that is shown, or a silent one.
    pub fn new(shown: bool) -> Self {
        Self(if shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() })
    }

    /// Names what is under way.
    pub fn step(&self, what: &str) {
        let style = ProgressStyle::with_template("{spinner} {msg}");
        self.0.set_style(style.expect("the template is valid"));
        self.0.enable_steady_tick(Duration::from_millis(200));
        self.0.set_message(what.to_owned());
    }

    /// Begins to count requests, of which so many are expected.
    pub fn load(&self, expected: u64) {
        let style = ProgressStyle::with_template(
            "{wide_bar} {pos}/{len} requests, {msg} granted, {elapsed} elapsed",
        );
        // The message is a number from here on, no longer the step.
        self.0.set_message("0");
        self.0.set_style(style.expect("the template is valid"));
        self.0.set_length(expected);
    }

    /// Shows how many requests ended and were granted.
    pub fn progress(&self, progress: &drive::Progress) {
        use std::sync::atomic::Ordering::Relaxed;
        self.0.set_position(progress.ended.load(Relaxed));
        self.0.set_message(progress.granted.load(Relaxed).to_string());
    }

    /// Removes the line.
    pub fn done(&self) {
        self.0.finish_and_clear();
    }
}
