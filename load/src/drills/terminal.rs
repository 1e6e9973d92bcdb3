//! The page of a run of drills as text.

use std::fmt::Write;

use comfy_table::CellAlignment;

use super::page::{Ending, Page};
use crate::report::terminal::table;

/// The page for a terminal: a row for each drill, and what did not hold.
pub fn render(page: &Page) -> String {
    let mut text = format!("{}\n\n", page.headline());
    let head = ["drill", "", "ended", "on record", "doubled", "sells again", "took"];
    let mut table = table(&head);
    if let Some(name) = table.column_mut(1) {
        name.set_cell_alignment(CellAlignment::Left);
    }
    for row in page.rows.iter().filter(|row| row.ending != Ending::Skipped) {
        table.add_row([
            row.id.to_owned(),
            row.name.to_owned(),
            row.ending.word().to_owned(),
            row.on_record(),
            row.doubles(),
            row.sells_again(),
            format!("{:.1} s", row.seconds),
        ]);
    }
    // Writing to a string cannot fail.
    if page.count(Ending::Skipped) < page.rows.len() {
        let _ = writeln!(text, "{table}");
    }
    for row in page.rows.iter().filter(|row| row.ending == Ending::Failed) {
        let _ = writeln!(text, "\nFAILED  {}: {}; passes when: {}", row.id, row.name, row.passes);
        if !row.reason.is_empty() {
            let _ = writeln!(text, "  {}", row.reason);
        }
        for judged in row.criteria.iter().filter(|judged| !judged.holds) {
            let _ = writeln!(
                text,
                "  {}: {} wanted, {} found",
                judged.what, judged.wanted, judged.found
            );
        }
    }
    if page.count(Ending::Skipped) > 0 {
        text.push('\n');
    }
    for row in page.rows.iter().filter(|row| row.ending == Ending::Skipped) {
        let _ = writeln!(text, "skipped {}: {} ({})", row.id, row.name, row.reason);
    }
    let (program, seed) = (&page.program, page.seed);
    let _ = writeln!(text, "\n{program}, seed {seed}; {}", page.machine.line());
    text
}
