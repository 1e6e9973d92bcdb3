//! Just enough of Rust's grammar to tell what a source file names: comments and literals taken out,
//! paths from `crate`, `super` and the crate's own name resolved through groups and inline modules.

/// A path that a source names, resolved to the crate's root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Where, from 1.
    pub line: usize,
    /// Its segments from the crate's root; none where the root itself is meant.
    pub target: Vec<String>,
}

/// The source with comments and the insides of literals as blanks; line breaks stay.
pub fn code_only(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = skipped(&letters, at);
        if end == at {
            code.push(letters[at]);
            at += 1;
        } else {
            code.extend(letters[at..end].iter().map(|letter| match letter {
                '\n' => '\n',
                _ => ' ',
            }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself where none begins.
fn skipped(letters: &[char], at: usize) -> usize {
    let next = |ahead: usize| letters.get(at + ahead).copied().unwrap_or('\0');
    match letters[at] {
        '/' if next(1) == '/' => end_of(letters, at, |letter| letter == '\n'),
        '/' if next(1) == '*' => end_of_block(letters, at),
        '"' => end_of_string(letters, at + 1),
        'r' if matches!(next(1), '"' | '#') && !continues_word(letters, at) => {
            let hashes = letters[at + 1..].iter().take_while(|letter| **letter == '#').count();
            match next(1 + hashes) {
                '"' => end_of_raw_string(letters, at + 2 + hashes, hashes),
                // A raw identifier.
                _ => at,
            }
        }
        // A quote, a letter (perhaps escaped) and a quote; anything else is a lifetime.
        '\'' if next(1) == '\\' => 1 + end_of(letters, at + 3, |letter| letter == '\''),
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn continues_word(letters: &[char], at: usize) -> bool {
    // `b` and `c` make literals of the kinds br"" and cr"".
    let before = at.checked_sub(1).map(|before| letters[before]);
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    before.is_some_and(|letter| word(letter) && !matches!(letter, 'b' | 'c'))
}

fn end_of(letters: &[char], from: usize, is_end: impl Fn(char) -> bool) -> usize {
    let from = from.min(letters.len());
    from + letters[from..].iter().take_while(|letter| !is_end(**letter)).count()
}

fn end_of_block(letters: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < letters.len() {
        match (letters[at], letters.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(letters.len())
}

fn end_of_string(letters: &[char], mut at: usize) -> usize {
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(letters.len())
}

fn end_of_raw_string(letters: &[char], mut at: usize, hashes: usize) -> usize {
    while at < letters.len() {
        let tail = &letters[at + 1..];
        if letters[at] == '"' && tail.iter().take_while(|letter| **letter == '#').count() >= hashes
        {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// An identifier or keyword.
    Word(String),
    /// `::`
    Separator,
    /// Any other mark.
    Other(char),
}

/// The words and marks of code without comments and literals, each with its line, from 1.
pub fn tokens(code: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut letters = code.chars().peekable();
    while let Some(letter) = letters.next() {
        let token = match letter {
            '\n' => {
                line += 1;
                continue;
            }
            _ if letter.is_whitespace() => continue,
            ':' if letters.next_if_eq(&':').is_some() => Token::Separator,
            _ if letter.is_alphanumeric() || letter == '_' => {
                let mut word = String::from(letter);
                while let Some(more) =
                    letters.next_if(|next| next.is_alphanumeric() || *next == '_')
                {
                    word.push(more);
                }
                // `r#name` is `name`.
                if word == "r" && letters.next_if_eq(&'#').is_some() {
                    continue;
                }
                Token::Word(word)
            }
            _ => Token::Other(letter),
        };
        tokens.push((line, token));
    }
    tokens
}

/// Every path in `text`, the source of `module`, that begins with `crate`, `super` or `own_name`.
pub fn references(text: &str, module: &[String], own_name: &str) -> Vec<Reference> {
    let tokens = tokens(&code_only(text));
    let mut found = Vec::new();
    // Inline modules around the place, each with the depth of braces at which it began.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let word = |at: usize| match tokens.get(at) {
        Some((_, Token::Word(word))) => Some(word.as_str()),
        _ => None,
    };
    let is = |at: usize, token: &Token| tokens.get(at).is_some_and(|(_, found)| found == token);
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].1 {
            Token::Other('{') => depth += 1,
            Token::Other('}') => {
                depth -= 1_usize.min(depth);
                inline.pop_if(|(_, began)| *began == depth);
            }
            Token::Word(name) if name == "mod" && is(at + 2, &Token::Other('{')) => {
                inline.extend(word(at + 1).map(|name| (name.to_owned(), depth)));
            }
            Token::Word(name) => {
                let inner = at > 0 && is(at - 1, &Token::Separator);
                // `pub(in crate::…)` says who may see an item, and needs nothing.
                let is_visibility =
                    at > 1 && word(at - 1) == Some("in") && is(at - 2, &Token::Other('('));
                let begins = ["crate", "super", own_name].contains(&name.as_str());
                if begins && !inner && !is_visibility && is(at + 1, &Token::Separator) {
                    let mut here = module.to_vec();
                    here.extend(inline.iter().map(|(name, _)| name.clone()));
                    at = path(&tokens, at, &here, own_name, &mut found);
                    continue;
                }
                if name == "crate" && word(at + 1) == Some("as") {
                    found.push(Reference { line: tokens[at].0, target: Vec::new() });
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Takes the path that begins at `at`, seen from `base`; returns where it ends.
fn path(
    tokens: &[(usize, Token)],
    mut at: usize,
    base: &[String],
    own_name: &str,
    found: &mut Vec<Reference>,
) -> usize {
    let line = tokens[at].0;
    let mut target = base.to_vec();
    let mut leading = true;
    loop {
        match tokens.get(at).map(|(_, token)| token) {
            Some(Token::Word(name)) if leading && (name == "crate" || name == own_name) => {
                target.clear();
            }
            Some(Token::Word(name)) if leading && name == "super" => {
                target.pop();
            }
            Some(Token::Word(name)) if leading && name == "self" => {}
            Some(Token::Word(name)) => {
                leading = false;
                target.push(name.clone());
            }
            Some(Token::Other('{')) => {
                return group(tokens, at + 1, &target, own_name, found);
            }
            // A glob, or something that only looked like a path.
            _ => {
                found.push(Reference { line, target });
                return at + 1;
            }
        }
        if !matches!(tokens.get(at + 1), Some((_, Token::Separator))) {
            found.push(Reference { line, target });
            return at + 1;
        }
        at += 2;
    }
}

/// Takes the members of a group in braces, seen from `base`; returns the place after it.
fn group(
    tokens: &[(usize, Token)],
    mut at: usize,
    base: &[String],
    own_name: &str,
    found: &mut Vec<Reference>,
) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        match token {
            Token::Other('}') => return at + 1,
            Token::Word(name) if name == "as" => at += 2,
            Token::Word(_) | Token::Other('*') => at = path(tokens, at, base, own_name, found),
            _ => at += 1,
        }
    }
    at
}
