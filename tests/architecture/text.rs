//! How a file is written: a header, a length that can be read, comments that say something, nothing
//! left for later.

use super::sources::code_only;
use super::tree::{files, rust_files};

/// The most lines of a file; beyond it the file is to be split.
const LINES_MAX: usize = 550;

/// The fewest words of a doc comment.
const DOC_WORDS_MIN: usize = 3;

#[test]
fn every_file_has_a_header_and_can_be_read_in_one_sitting() {
    let mut bad = Vec::new();
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            bad.push(format!("{path} has {lines} lines, more than {LINES_MAX}"));
        }
        if !text.starts_with("//! ") {
            bad.push(format!("{path} does not begin with what it owns (//! …)"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled in parts, so that this file does not find itself.
    let comments = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let code = [
        concat!("todo", "!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("#[al", "low("),
        concat!("#![al", "low("),
    ];
    let mut bad = Vec::new();
    for (path, text) in rust_files() {
        let stripped: String = code_only(&text).split_whitespace().collect();
        let words = comments.iter().filter(|word| text.contains(**word));
        let marks = code.iter().filter(|mark| stripped.contains(**mark));
        bad.extend(words.chain(marks).map(|mark| format!("{path}: {mark}")));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The doc comments of a source, each with its first line, from 1.
fn doc_comments(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in (1..).zip(text.lines()) {
        match line.trim_start().strip_prefix("///") {
            Some(words) => {
                if !is_open {
                    found.push((number, String::new()));
                }
                if let Some((_, comment)) = found.last_mut() {
                    comment.push_str(words);
                }
                is_open = true;
            }
            None => is_open = false,
        }
    }
    found
}

#[test]
fn every_doc_comment_says_something() {
    let mut bad = Vec::new();
    let mut sources = files("src", "rs");
    sources.append(&mut files("crates", "rs"));
    for (path, text) in sources {
        for (line, comment) in doc_comments(&text) {
            if comment.split_whitespace().count() < DOC_WORDS_MIN {
                bad.push(format!("{path}:{line}: {}", comment.trim()));
            }
        }
    }
    assert!(bad.is_empty(), "fewer than {DOC_WORDS_MIN} words:\n{}", bad.join("\n"));
}

#[test]
fn doc_comments_are_counted_whole() {
    let text =
        "/// Whose.\nid: u64,\n/// Go on\n/// reading.\nfn f() {}\n//! No item's.\n// No doc.";
    let found = doc_comments(text);
    assert_eq!(found, [(1, " Whose.".to_owned()), (3, " Go on reading.".to_owned())]);
}
