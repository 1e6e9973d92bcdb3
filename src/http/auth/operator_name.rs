//! The names of operators: one person has one, however it is typed.
//!
//! An approver must be another person than the maker of a sale, so two spellings of a name, or letters
//! that only look like others, must not make two people of one.

use domain::operation::{COMMAND_LINE_ACTOR, OPERATOR_LENGTH_MAX, SHOP_ACTOR};
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, Script};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The names in the operators' log of who is no person.
const TAKEN: [&str; 2] = [SHOP_ACTOR, COMMAND_LINE_ACTOR];
/// Scripts that are written together in one name.
const WRITTEN_TOGETHER: [&[Script]; 3] = [
    &[Script::Latin, Script::Han, Script::Hiragana, Script::Katakana],
    &[Script::Latin, Script::Han, Script::Bopomofo],
    &[Script::Latin, Script::Han, Script::Hangul],
];

/// Why a text is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidName {
    /// It is empty, too long, or has characters that no name has.
    #[error(
        "a name has 1 to {OPERATOR_LENGTH_MAX} bytes and neither quotes, backslashes, control \
         characters nor characters that nobody sees"
    )]
    Form,
    /// It mixes scripts that are not written together, such as Latin and Cyrillic.
    #[error("a name has letters of one script: some of these only look like those of another")]
    MixedScripts,
    /// What the shop and its command line do is noted under it.
    #[error("the shop notes under this name what no person did: it is nobody's")]
    Taken,
}

/// Returns the name of a person, as [`canonical`] does.
///
/// # Errors
/// Returns [`InvalidName`] if it is none, or one that no person has.
pub fn of_person(text: &str) -> Result<String, InvalidName> {
    let name = canonical(text)?;
    match TAKEN.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
        true => Err(InvalidName::Taken),
        false => Ok(name),
    }
}

/// Returns the name in the form in which it is kept and compared: with one blank between words and none
/// around them, in Unicode's NFKC.
///
/// # Errors
/// Returns [`InvalidName`] if it is none.
pub fn canonical(text: &str) -> Result<String, InvalidName> {
    let name = ComposingNormalizerBorrowed::new_nfkc().normalize(text);
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_unseen = |letter: char| {
        CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter)
            || CodePointMapData::<GeneralCategory>::new().get(letter) == GeneralCategory::Format
    };
    let has_place = |letter: char| {
        !letter.is_control() && letter != '"' && letter != '\\' && !is_unseen(letter)
    };
    if name.is_empty() || name.len() > OPERATOR_LENGTH_MAX || !name.chars().all(has_place) {
        return Err(InvalidName::Form);
    }
    if name.is_ascii() || is_of_one_hand(&name) {
        return Ok(name);
    }
    Err(InvalidName::MixedScripts)
}

/// Whether the letters are of one script, or of scripts that are written together.
fn is_of_one_hand(name: &str) -> bool {
    let script_of = CodePointMapData::<Script>::new();
    let mut scripts: Vec<Script> = name.chars().map(|letter| script_of.get(letter)).collect();
    scripts.retain(|script| *script != Script::Common && *script != Script::Inherited);
    scripts.sort_unstable();
    scripts.dedup();
    scripts.len() < 2
        || WRITTEN_TOGETHER
            .iter()
            .any(|together| scripts.iter().all(|script| together.contains(script)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_one_name() {
        for (text, expected) in [
            ("eva", Ok("eva")),
            (" eva\u{a0}", Ok("eva")),
            ("ｅｖａ", Ok("eva")),
            ("Jos\u{65}\u{301}", Ok("José")),
            ("José", Ok("José")),
            ("王伟", Ok("王伟")),
            ("王伟 David", Ok("王伟 David")),
            ("王伟 \u{3000}\tDavid", Ok("王伟 David")),
            ("さくら 桜", Ok("さくら 桜")),
            ("Ольга-2", Ok("Ольга-2")),
            // The last letter is Cyrillic, then the first.
            ("ev\u{430}", Err(InvalidName::MixedScripts)),
            ("\u{435}va", Err(InvalidName::MixedScripts)),
            ("", Err(InvalidName::Form)),
            (" \u{3000}", Err(InvalidName::Form)),
            ("a\"b", Err(InvalidName::Form)),
            ("a\u{7}b", Err(InvalidName::Form)),
            // Of no width, or turned round: a second person only to a machine.
            ("eva\u{200b}", Err(InvalidName::Form)),
            ("eva\u{ad}", Err(InvalidName::Form)),
            ("eva\u{2060}", Err(InvalidName::Form)),
            ("eva\u{fe0f}", Err(InvalidName::Form)),
            ("eva\u{3164}", Err(InvalidName::Form)),
            ("e\u{34f}va", Err(InvalidName::Form)),
            ("\u{202e}ave", Err(InvalidName::Form)),
        ] {
            assert_eq!(canonical(text).as_deref(), expected.as_ref().map(|name| *name), "{text:?}");
        }
        assert_eq!(canonical(&"x".repeat(65)), Err(InvalidName::Form));
    }

    #[test]
    fn nobody_has_the_name_of_the_shop_or_its_command_line() {
        assert_eq!(of_person("eva").as_deref(), Ok("eva"));
        assert_eq!(of_person("engineer").as_deref(), Ok("engineer"));
        for text in ["engine", " Engine", "command-line", "ｅｎｇｉｎｅ"] {
            assert_eq!(of_person(text), Err(InvalidName::Taken), "{text:?}");
        }
    }
}
