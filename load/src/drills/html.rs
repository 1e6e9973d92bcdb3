//! The page of a run of drills as one HTML document without a single request to anywhere.

use std::fmt::Write;

use super::page::{Ending, Page, Row};
use crate::report::page::{begin, criteria, end, escape, headline, section};

/// The whole document.
pub fn render(page: &Page) -> String {
    let mut text = begin(&page.headline());
    let _ = write!(
        text,
        "<header><h1>Drills</h1><p>Something is broken on purpose; then the shop is asked whether every \
         confirmation is on record, whether nothing is doubled, and whether it sells again: by its own \
         audit, and by clients that do not believe it. Program <b>{}</b>, seed {}.</p></header>",
        escape(&page.program),
        page.seed,
    );
    headline(&mut text, page.passed, &page.headline());
    for (ending, title) in
        [(Ending::Failed, "Failed"), (Ending::Passed, "Passed"), (Ending::Skipped, "Skipped")]
    {
        let rows = page.rows.iter().filter(|row| row.ending == ending);
        let body = if ending == Ending::Skipped { skipped(rows) } else { ended(rows) };
        section(&mut text, title, &body);
    }
    for row in page.rows.iter().filter(|row| row.was_judged()) {
        let title = format!("{}: {}", row.id, row.name);
        let body = format!("<p>Passes when: {}</p>{}", escape(row.passes), criteria(&row.criteria));
        section(&mut text, &title, &body);
    }
    end(&mut text, &page.machine.line());
    text
}

/// The drills that ended so, a row for each; empty if there is none.
fn ended<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut body = String::new();
    for row in rows {
        let class = if row.ending == Ending::Passed { "ok" } else { "bad" };
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"left\">{}</td><td class=\"{class}\">{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{:.1} s</td></tr>",
            escape(row.id),
            escape(row.name),
            row.ending.word(),
            row.on_record(),
            row.doubles(),
            row.sells_again(),
            row.seconds,
        );
        if !row.reason.is_empty() {
            let _ = write!(
                body,
                "<tr><td></td><td class=\"left bad\" colspan=\"6\">{}</td></tr>",
                escape(&row.reason)
            );
        }
    }
    within(
        "<tr><th>drill</th><th></th><th></th><th>confirmations on record</th><th>doubled</th>\
         <th>sells again after</th><th>took</th></tr>",
        &body,
    )
}

fn skipped<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut body = String::new();
    for row in rows {
        let (name, reason) = (escape(row.name), escape(&row.reason));
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"left\">{name}</td><td>{}</td><td class=\"left\">{reason}</td></tr>",
            escape(row.id),
            row.carried,
        );
    }
    within("<tr><th>drill</th><th></th><th>carried out by</th><th>why</th></tr>", &body)
}

fn within(head: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("<table>{head}{body}</table>") }
}
