//! No function is longer than can be understood at once.

use super::names::without_tests;
use super::sources::{Token, code_only, tokens};
use super::tree::files;

/// The most lines of a function's body.
const BODY_LINES_MAX: usize = 70;

/// The functions of a source with a body: name, first line, lines between the braces. Tests and what
/// macros make do not count.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let tokens = without_tests(tokens(&code_only(text)));
    let mut found = Vec::new();
    let mut at = 0;
    while at + 1 < tokens.len() {
        match (&tokens[at].1, &tokens[at + 1].1) {
            (Token::Word(word), Token::Word(name)) if word == "fn" => {
                if let Some((open, close)) = body(&tokens, at) {
                    let lines = tokens[close].0.saturating_sub(tokens[open].0 + 1);
                    found.push((name.clone(), tokens[at].0, lines));
                }
                at += 1;
            }
            (Token::Word(word), Token::Other('!')) if word == "macro_rules" => {
                at = body(&tokens, at).map_or(tokens.len(), |(_, close)| close);
            }
            _ => at += 1,
        }
    }
    found
}

/// Where the braces are that follow `from`; none if a semicolon ends the item first.
fn body(tokens: &[(usize, Token)], from: usize) -> Option<(usize, usize)> {
    let mut nesting = 0_usize;
    let mut open = None;
    for (at, (_, token)) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Other('(' | '[') if open.is_none() => nesting += 1,
            Token::Other(')' | ']') if open.is_none() => nesting = nesting.saturating_sub(1),
            Token::Other(';') if open.is_none() && nesting == 0 => return None,
            Token::Other('{') => {
                if open.is_none() {
                    (open, nesting) = (Some(at), 0);
                }
                nesting += 1;
            }
            Token::Other('}') => {
                nesting = nesting.saturating_sub(1);
                if let (0, Some(open)) = (nesting, open) {
                    return Some((open, at));
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn no_function_is_too_long() {
    let mut bad = Vec::new();
    for directory in ["src", "crates/domain/src", "load/src", "tests/support", "tests/harness/src"]
    {
        for (path, text) in files(directory, "rs") {
            for (name, line, lines) in functions(&text) {
                if lines > BODY_LINES_MAX {
                    bad.push(format!("{path}:{line}: {name} has {lines} lines"));
                }
            }
        }
    }
    assert!(bad.is_empty(), "more than {BODY_LINES_MAX}:\n{}", bad.join("\n"));
}

#[test]
fn functions_are_counted_as_they_are_written() {
    let text = "trait T {\n    fn none(&self, of: [u8; 3]);\n}\n\
                fn one<F: Fn(u8) -> u8>(f: F) -> [u8; 2]\nwhere\n    F: Copy,\n{\n    [f(1); 2]\n}\n\
                macro_rules! m { () => { fn made() {\n\n\n} } }\n\
                fn two() {\n    fn inner() {\n    }\n}\n\
                #[cfg(test)]\nmod tests {\n    fn test() {\n    }\n}\n";
    let found: Vec<(String, usize, usize)> = functions(text);
    let found: Vec<(&str, usize, usize)> =
        found.iter().map(|(name, line, lines)| (name.as_str(), *line, *lines)).collect();
    assert_eq!(found, [("one", 4, 1), ("two", 14, 2), ("inner", 15, 0)]);
}
