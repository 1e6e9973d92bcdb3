//! The words of the first version, which a stranger would not understand, are gone.

use super::tree::files;

/// Words that mean nothing to a stranger here, and what is said instead. In any case, whole.
const WORDS: &[(&str, &str)] = &[
    ("asker", "ReplySender, the caller"),
    ("askers", "the callers"),
    ("books", "orders, the order store"),
    ("desk", "ShardProcessor"),
    ("desks", "ShardProcessor"),
    ("door", "EdgeService"),
    ("doors", "EdgeService"),
    ("inlet", "RecordSource"),
    ("inlets", "RecordSource"),
    ("outlet", "RecordSink"),
    ("outlets", "RecordSink"),
    ("passenger", "waiter"),
    ("passengers", "waiters"),
    ("pilot", "leader"),
    ("pilots", "leaders"),
    ("must_be_of", "check_owner"),
    ("must_be_own", "check_owner"),
    ("must_belong", "check_owner"),
    ("from_books", "from_order_store"),
    ("whoever", "the caller, the client"),
];

/// Identifiers that stood for something else: in this case, whole. `DeadLetter` and `TokenClaims` are
/// other words.
const IDENTIFIERS: &[(&str, &str)] = &[
    ("Arrived", "ContiguousProgress"),
    ("Claims", "IdempotencyKeys, TokenClaims"),
    ("Decide", "PendingCommand"),
    ("Filter", "BloomFilter"),
    ("Letter", "Envelope"),
    ("Way", "Transport"),
];

/// Phrases, in any case.
const PHRASES: &[(&str, &str)] = &[
    ("hang up", "close"),
    ("hung up", "closed"),
    ("let go of", "evict, release"),
    ("lets go of", "evict, release"),
    ("letting go of", "evict, release"),
    ("Effect::Run", "EffectSink"),
];

/// Each bad word of a text: its line, from 1, and what is wrong.
fn bad_words(text: &str) -> Vec<(usize, String)> {
    let mut bad = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        for word in line.split(|letter| !is_word(letter)) {
            let words = WORDS.iter().filter(|(bad, _)| word.eq_ignore_ascii_case(bad));
            let identifiers = IDENTIFIERS.iter().filter(|(bad, _)| word == *bad);
            bad.extend(
                words
                    .chain(identifiers)
                    .map(|(bad, instead)| (number, format!("{bad}: say {instead}"))),
            );
        }
        let lower = line.to_lowercase();
        let phrases = PHRASES.iter().filter(|(bad, _)| lower.contains(&bad.to_lowercase()));
        bad.extend(phrases.map(|(bad, instead)| (number, format!("{bad}: say {instead}"))));
    }
    bad
}

#[test]
fn old_words_are_gone() {
    let mut texts = files("src", "rs");
    for (directory, extension) in [
        ("src", "sql"),
        ("crates", "rs"),
        ("docs", "md"),
        ("load/src", "rs"),
        ("tests/engine", "rs"),
        ("tests/failpoints", "rs"),
        ("tests/harness", "rs"),
        ("tests/http", "rs"),
        ("tests/product", "rs"),
        ("tests/simulation", "rs"),
        ("tests/store", "rs"),
        ("tests/support", "rs"),
    ] {
        texts.append(&mut files(directory, extension));
    }
    let mut bad = Vec::new();
    for (path, text) in &texts {
        let found = bad_words(text).into_iter();
        bad.extend(found.map(|(line, what)| format!("{path}:{line}: {what}")));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn settings_have_their_limit_behind() {
    // As the template of the configuration prints them: `key = value` or `#key = value`.
    let template = include_str!("../../config.toml");
    let keys = template.lines().filter_map(|line| line.split_once(" = "));
    let bad: Vec<&str> = keys
        .map(|(key, _)| key.trim_start_matches(['#', ' ']))
        .filter(|key| key.starts_with("max_") || key.starts_with("min_"))
        .collect();
    assert!(bad.is_empty(), "units and limits come last, as in connections_max: {bad:?}");
}

#[test]
fn an_old_word_is_seen_as_a_whole_one_only() {
    let check = |text: &str, expected: usize| {
        assert_eq!(bad_words(text).len(), expected, "{text}");
    };
    check("struct Letter;", 1);
    check("/// Whoever asks, at the Desk.", 2);
    check("let books = from_books();", 2);
    check("It lets go of the item.", 1);
    check("struct DeadLetter(TokenClaims); // dead letters, claims of a token", 0);
    check("use metrics::Bookshelf; // notebooks, by the way", 0);
}
