//! What callgrind wrote: the instructions of each function and each source file that were executed in itself,
//! without those of what it called.

use std::collections::HashMap;

/// Where instructions were executed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The source file, as the compiler wrote it; `???` where it wrote none.
    pub file: String,
    /// The function that the instructions are of, which may have others' code in it.
    pub function: String,
}

/// Instructions by place.
pub type Counts = HashMap<Place, u64>;

/// A line that callgrind does not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of callgrind's file cannot be read: {text:?}")]
pub struct ProfileError {
    /// The line's number, counted from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

/// Names that stand for numbers, which callgrind writes at their first use alone: `(7) a_name`, then `(7)`.
#[derive(Default)]
struct Names(HashMap<u64, String>);

impl Names {
    fn read(&mut self, text: &str) -> Option<String> {
        let Some(rest) = text.strip_prefix('(') else { return Some(text.to_owned()) };
        let (number, name) = rest.split_once(')')?;
        let number = number.parse().ok()?;
        let name = name.trim_start();
        if !name.is_empty() {
            self.0.insert(number, name.to_owned());
        }
        self.0.get(&number).cloned()
    }
}

/// Adds what the file says to `counts`.
///
/// # Errors
/// Returns [`ProfileError`] if it is no file of callgrind's.
pub fn read(text: &str, counts: &mut Counts) -> Result<(), ProfileError> {
    let (mut files, mut functions) = (Names::default(), Names::default());
    let mut place = Place { file: String::new(), function: String::new() };
    // The line behind `calls=` has what the called function executed, which is counted there.
    let mut is_of_call = false;
    for (index, line) in text.lines().enumerate() {
        let wrong = || ProfileError { line: index + 1, text: line.to_owned() };
        let Some(first) = line.chars().next() else { continue };
        if first.is_ascii_digit() || matches!(first, '+' | '-' | '*') {
            let cost = line.split(' ').nth(1).ok_or_else(wrong)?;
            let cost: u64 = cost.parse().map_err(|_| wrong())?;
            if !std::mem::take(&mut is_of_call) {
                *counts.entry(place.clone()).or_default() += cost;
            }
            continue;
        }
        // Lines of the head have a colon, and what is of no interest here another key.
        match line.split_once('=') {
            Some(("fl" | "fi" | "fe", file)) => {
                place.file = files.read(file).ok_or_else(wrong)?;
            }
            Some(("fn", function)) => {
                place.function = functions.read(function).ok_or_else(wrong)?;
            }
            Some(("cfi" | "cfl", file)) => drop(files.read(file).ok_or_else(wrong)?),
            Some(("cfn", function)) => drop(functions.read(function).ok_or_else(wrong)?),
            Some(("calls", _)) => is_of_call = true,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "\
# callgrind format
version: 1
events: Ir

ob=(1) /bin/shop
fl=(1) src/http/edge.rs
fn=(1) answer
16 400
fi=(2) src/actors/gate.rs
+3 20
fe=(1)
calls=2 50
cfi=(3) journal.rs
cfn=(2) append
* 999
17 5

fl=(3)
fn=(2)
50 900
-1 99
totals: 1424
";

    #[test]
    fn what_a_function_called_is_counted_there_alone() {
        let mut counts = Counts::new();
        read(WRITTEN, &mut counts).expect("callgrind's");
        let count = |file: &str, function: &str| {
            let place = Place { file: file.to_owned(), function: function.to_owned() };
            counts.get(&place).copied()
        };
        assert_eq!(count("src/http/edge.rs", "answer"), Some(405));
        assert_eq!(count("src/actors/gate.rs", "answer"), Some(20), "code of another file in it");
        assert_eq!(count("journal.rs", "append"), Some(999));
        assert_eq!(counts.values().sum::<u64>(), 1_424, "as callgrind's own sum");
    }

    #[test]
    fn what_callgrind_does_not_write_is_refused() {
        for (text, line) in [("fn=(7)\n", 1), ("events: Ir\n3 many\n", 2), ("3\n", 1)] {
            let refused = read(text, &mut Counts::new()).expect_err(text);
            assert_eq!(refused.line, line, "{refused}");
        }
    }
}
