//! What every HTML page of the laboratory is made of: its head with the style, its verdict, sections, the table
//! of criteria, and its foot. Light and dark, and without a script.

use std::fmt::Write;

pub use super::chart::escape;
use super::judged::Judged;

const STYLE: &str = include_str!("page.css");

/// A document up to its contents.
pub fn begin(title: &str) -> String {
    let title = escape(title);
    format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>{STYLE}</style></head><body><main>"#
    )
}

/// The verdict: the one line that everybody reads.
pub fn headline(page: &mut String, passed: bool, line: &str) {
    let (class, verdict) = if passed { ("", "passed") } else { ("failed", "failed") };
    let line = escape(line);
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        r#"<div class="headline {class}"><strong>{line}</strong><span>{verdict}</span></div>"#
    );
}

/// A part with a title; nothing if it is empty.
pub fn section(page: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let _ = write!(page, "<section><h2>{}</h2>{body}</section>", escape(title));
    }
}

/// Criteria, what each wanted and what was found.
pub fn criteria(all: &[Judged]) -> String {
    let mut table =
        "<table><tr><th>criterion</th><th>wanted</th><th>found</th><th></th></tr>".to_owned();
    for judged in all {
        let (class, mark) = if judged.holds { ("ok", "holds") } else { ("bad", "broken") };
        let _ = write!(
            table,
            r#"<tr><td>{}</td><td>{}</td><td>{}</td><td class="{class}">{mark}</td></tr>"#,
            escape(judged.what),
            escape(&judged.wanted),
            escape(&judged.found),
        );
    }
    table + "</table>"
}

/// The machine, and the document's end.
pub fn end(page: &mut String, machine: &str) {
    let _ = writeln!(
        page,
        "<footer>{}<br>The generator runs on the machine of the server and takes its share of \
         it.</footer></main></body></html>",
        escape(machine)
    );
}
