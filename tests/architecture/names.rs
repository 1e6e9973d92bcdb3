//! What a source file outside its tests defines, imports and names, as `circles` needs it.

use super::sources::{Token, code_only, tokens};
use std::collections::{BTreeMap, BTreeSet};

/// A name that a `use` brings into scope.
#[derive(PartialEq, Eq, Debug)]
pub struct Import {
    /// Where, from 1.
    pub line: usize,
    /// Inline modules around it.
    pub inline: Vec<String>,
    /// As it is written, from `crate`, `super`, `self` or a name in scope.
    pub path: Vec<String>,
    /// The name in scope; `*` for all of the path's.
    pub name: String,
    /// Whether it can be reached from outside.
    pub is_public: bool,
}

/// A path of at least two segments in the code.
#[derive(PartialEq, Eq, Debug)]
pub struct Mention {
    /// Where, from 1.
    pub line: usize,
    /// Inline modules around it.
    pub inline: Vec<String>,
    /// As it is written.
    pub path: Vec<String>,
}

/// The names of a file.
#[derive(Default, Debug)]
pub struct Names {
    /// What its modules define.
    pub defined: BTreeSet<String>,
    /// The macros among it, which modules below see without a path.
    pub macros: BTreeSet<String>,
    /// What `use` brings.
    pub imports: Vec<Import>,
    /// Paths in the code.
    pub mentions: Vec<Mention>,
    /// Single names in the code, each with the first line.
    pub bare: BTreeMap<String, usize>,
    /// Macros called without a path, each with the first line.
    pub called: BTreeMap<String, usize>,
}

/// Reads the names of a source file; what is under `#[cfg(test)]` does not count.
pub fn names(text: &str) -> Names {
    let tokens = without_tests(tokens(&code_only(text)));
    let mut reader = Reader { tokens: &tokens, names: Names::default(), inline: Vec::new() };
    reader.read();
    reader.names
}

/// The tokens without the items that `#[cfg(test)]` stands before.
pub fn without_tests(tokens: Vec<(usize, Token)>) -> Vec<(usize, Token)> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let is_mark = MARK.iter().enumerate().all(|(ahead, expected)| {
            tokens.get(at + ahead).is_some_and(|(_, token)| match token {
                Token::Word(word) => word == expected,
                Token::Other(mark) => expected.len() == 1 && expected.starts_with(*mark),
                Token::Separator => false,
            })
        });
        if is_mark {
            at = end_of_item(&tokens, at + MARK.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The place after the item that begins at `at`: its semicolon or its outermost closing brace.
fn end_of_item(tokens: &[(usize, Token)], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some((_, token)) = tokens.get(at) {
        at += 1;
        match token {
            Token::Other('{' | '(' | '[') => depth += 1,
            Token::Other(close @ ('}' | ')' | ']')) => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *close == '}' {
                    break;
                }
            }
            Token::Other(';') if depth == 0 => break,
            _ => {}
        }
    }
    at
}

struct Reader<'a> {
    tokens: &'a [(usize, Token)],
    names: Names,
    /// Inline modules around the place, each with the depth of braces at which it began.
    inline: Vec<(String, usize)>,
}

impl Reader<'_> {
    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at) {
            Some((_, Token::Word(word))) => Some(word),
            _ => None,
        }
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.tokens.get(at).is_some_and(|(_, found)| found == token)
    }

    fn is_mark(&self, at: usize, mark: char) -> bool {
        self.is(at, &Token::Other(mark))
    }

    fn inline(&self) -> Vec<String> {
        self.inline.iter().map(|(name, _)| name.clone()).collect()
    }

    fn read(&mut self) {
        let (mut at, mut depth) = (0, 0_usize);
        while at < self.tokens.len() {
            match &self.tokens[at].1 {
                Token::Other('{') => depth += 1,
                Token::Other('}') => {
                    depth = depth.saturating_sub(1);
                    self.inline.pop_if(|(_, began)| *began == depth);
                }
                Token::Word(word) if word == "use" && !self.is_mark(at + 1, '<') => {
                    at = self.import(at);
                    continue;
                }
                Token::Word(_) => {
                    if depth == self.inline.len() {
                        self.definition(at);
                    }
                    if self.word(at) == Some("mod") && self.is_mark(at + 2, '{') {
                        let name = self.word(at + 1).unwrap_or_default().to_owned();
                        self.inline.push((name, depth));
                    }
                    at = self.mention(at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Notes what the keyword at `at` defines, if it is one that does.
    fn definition(&mut self, at: usize) {
        const KEYWORDS: [&str; 9] =
            ["const", "enum", "fn", "mod", "static", "struct", "trait", "type", "union"];
        let keyword = self.word(at).unwrap_or_default();
        let name = if keyword == "macro_rules" { self.word(at + 2) } else { self.word(at + 1) };
        let Some(name) = name.map(str::to_owned) else { return };
        if keyword == "macro_rules" {
            self.names.macros.insert(name.clone());
        } else if !KEYWORDS.contains(&keyword) {
            return;
        }
        self.names.defined.insert(name);
    }

    /// Takes the path or name that begins at `at`; returns the place after it.
    fn mention(&mut self, mut at: usize) -> usize {
        let line = self.tokens[at].0;
        let before = at.checked_sub(1).map(|before| &self.tokens[before].1);
        // A method, a field, or the rest of a path that begins elsewhere (`::name`, `<T>::name`).
        let is_inner = matches!(before, Some(Token::Separator | Token::Other('.')));
        let is_visibility =
            self.word(at.wrapping_sub(1)) == Some("in") && self.is_mark(at.wrapping_sub(2), '(');
        let is_defined_here = matches!(before, Some(Token::Word(word)) if word == "fn");
        let mut path = Vec::new();
        while let Some(word) = self.word(at) {
            path.push(word.to_owned());
            at += 1;
            if !self.is(at, &Token::Separator) || self.word(at + 1).is_none() {
                break;
            }
            at += 1;
        }
        if is_inner || is_visibility || is_defined_here {
            return at;
        }
        if path.len() > 1 {
            self.names.mentions.push(Mention { line, inline: self.inline(), path });
            return at;
        }
        let name = path.remove(0);
        if self.is_mark(at, '!') {
            self.names.called.entry(name.clone()).or_insert(line);
        }
        // A name in lower case may as well be a variable, unless it is called.
        let is_called = self.is_mark(at, '(') || self.is_mark(at, '!');
        if is_called || name.starts_with(char::is_uppercase) {
            self.names.bare.entry(name).or_insert(line);
        }
        at
    }

    /// Takes the `use` at `at`; returns the place after it.
    fn import(&mut self, at: usize) -> usize {
        let before = at.checked_sub(1).map(|before| &self.tokens[before].1);
        // `pub use` or `pub(…) use`; nothing else closes a parenthesis before a `use`.
        let is_public = match before {
            Some(Token::Word(word)) => word == "pub",
            Some(Token::Other(')')) => true,
            _ => false,
        };
        let end = self.tokens[at..].iter().position(|(_, token)| *token == Token::Other(';'));
        self.tree(at + 1, &[], is_public);
        at + end.unwrap_or(self.tokens.len() - at)
    }

    /// Takes a path of a `use` with what branches off it, below `base`; returns the place after it.
    fn tree(&mut self, mut at: usize, base: &[String], is_public: bool) -> usize {
        let line = self.tokens.get(at).map_or(0, |(line, _)| *line);
        let mut path = base.to_vec();
        let mut name = String::new();
        loop {
            match self.tokens.get(at).map(|(_, token)| token) {
                Some(Token::Word(word)) if word == "self" && !path.is_empty() => {}
                Some(Token::Word(word)) if word == "as" => {
                    name = self.word(at + 1).unwrap_or_default().to_owned();
                    at += 2;
                    break;
                }
                Some(Token::Word(word)) => path.push(word.clone()),
                Some(Token::Separator) => {}
                Some(Token::Other('*')) => {
                    name = "*".to_owned();
                    at += 1;
                    break;
                }
                Some(Token::Other('{')) => return self.branches(at + 1, &path, is_public),
                _ => break,
            }
            at += 1;
        }
        if name.is_empty() {
            name = path.last().cloned().unwrap_or_default();
        }
        self.names.imports.push(Import { line, inline: self.inline(), path, name, is_public });
        at
    }

    /// Takes what stands in the braces of a `use`; returns the place after them.
    fn branches(&mut self, mut at: usize, base: &[String], is_public: bool) -> usize {
        while let Some((_, token)) = self.tokens.get(at) {
            match token {
                Token::Other('}') => return at + 1,
                Token::Word(_) | Token::Separator | Token::Other('*') => {
                    at = self.tree(at, base, is_public);
                }
                _ => at += 1,
            }
        }
        at
    }
}
