//! What pages say, in each language. A message is a method: one that does not exist fails to compile, and
//! a test finds messages that a language lacks, that nothing says, and whose arguments differ.
//!
//! The messages are Fluent files, one for each part of the site, in `locales/`; a part's methods are
//! declared beside this file, with [`words!`](words) and the names of the messages.

mod common;
mod console;
mod dashboard;
mod shop;

use super::language::Language;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use std::borrow::Cow;
use std::sync::LazyLock;
use unic_langid::LanguageIdentifier;

/// Declares methods of [`Words`], one for each message of the same name. An argument is `&str`, or `u64`
/// for a number, which is written in groups of three digits and chooses the plural.
macro_rules! words {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        impl $crate::http::pages::words::Words {
            $(
                #[doc = concat!("Returns the message `", stringify!($name), "`.")]
                #[must_use]
                pub fn $name(self $(, $argument: $type)*) -> String {
                    self.say(stringify!($name), &[$((stringify!($argument), $argument.into())),*])
                }
            )*
        }

        /// The messages that are declared here, each with its arguments.
        #[cfg(test)]
        pub(super) const DECLARED: &[(&str, &[&str])] =
            &[$((stringify!($name), &[$(stringify!($argument)),*])),*];
    };
}
use words;

/// The Fluent files of a language.
const fn sources(language: Language) -> [&'static str; 4] {
    match language {
        Language::Chinese => [
            include_str!("../locales/zh-CN/common.ftl"),
            include_str!("../locales/zh-CN/console.ftl"),
            include_str!("../locales/zh-CN/dashboard.ftl"),
            include_str!("../locales/zh-CN/shop.ftl"),
        ],
        Language::English => [
            include_str!("../locales/en/common.ftl"),
            include_str!("../locales/en/console.ftl"),
            include_str!("../locales/en/dashboard.ftl"),
            include_str!("../locales/en/shop.ftl"),
        ],
    }
}

/// What a problem means to a person, where [`Code`](crate::http::problem::Code) has no words for one in this
/// language: the message `problem_` and the code's name, with what to do about it as `next`.
const fn problems(language: Language) -> &'static str {
    match language {
        Language::Chinese => include_str!("../locales/zh-CN/problems.ftl"),
        Language::English => include_str!("../locales/en/problems.ftl"),
    }
}

/// What settings are, for languages that their declarations have no words for: the message `setting_`, the
/// document's name and the setting's key.
const fn settings(language: Language) -> &'static str {
    match language {
        Language::Chinese => include_str!("../locales/zh-CN/settings.ftl"),
        Language::English => "",
    }
}

type Bundle = FluentBundle<FluentResource>;

static CHINESE: LazyLock<Bundle> = LazyLock::new(|| bundle(Language::Chinese));
static ENGLISH: LazyLock<Bundle> = LazyLock::new(|| bundle(Language::English));

fn bundle(language: Language) -> Bundle {
    let tag: LanguageIdentifier = language.tag().parse().unwrap_or_default();
    let mut bundle = Bundle::new_concurrent(vec![tag]);
    // The marks would be shown as boxes by old browsers; what visitors wrote stands in `<bdi>`.
    bundle.set_use_isolating(false);
    bundle.set_formatter(Some(|value, _| match value {
        FluentValue::Number(number) if number.value >= 0.0 => {
            Some(grouped(&format!("{:.0}", number.value)))
        }
        _ => None,
    }));
    for source in sources(language).into_iter().chain([problems(language), settings(language)]) {
        // What cannot be read is left out, and a test finds that a message is missing.
        let resource = FluentResource::try_new(source.to_owned());
        bundle.add_resource_overriding(resource.unwrap_or_else(|(read, _)| read));
    }
    bundle
}

/// Returns a number's digits in groups of three.
pub fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What pages say in one language.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Words(Language);

impl Words {
    /// Returns the words of this language.
    pub const fn of(language: Language) -> Self {
        Self(language)
    }

    /// Returns their language.
    pub const fn language(self) -> Language {
        self.0
    }

    /// Returns a problem's title and what to do about it, if this language has words of its own for the
    /// code of this name.
    pub fn problem(self, code: &str) -> Option<(String, String)> {
        let bundle = self.bundle();
        let message = bundle.get_message(&format!("problem_{code}"))?;
        let text = |pattern| bundle.format_pattern(pattern, None, &mut Vec::new()).into_owned();
        Some((text(message.value()?), text(message.get_attribute("next")?.value())))
    }

    /// Returns what a setting is, if this language has words of its own for it.
    pub fn setting(self, document: &str, key: &str) -> Option<String> {
        let bundle = self.bundle();
        let pattern = bundle.get_message(&format!("setting_{document}_{key}"))?.value()?;
        Some(bundle.format_pattern(pattern, None, &mut Vec::new()).into_owned())
    }

    fn bundle(self) -> &'static Bundle {
        match self.0 {
            Language::Chinese => &CHINESE,
            Language::English => &ENGLISH,
        }
    }

    /// Returns a message; its name if there is none, which a test rules out.
    fn say(self, name: &'static str, arguments: &[(&'static str, FluentValue<'_>)]) -> String {
        let bundle = self.bundle();
        let Some(pattern) = bundle.get_message(name).and_then(|message| message.value()) else {
            return name.to_owned();
        };
        let mut fluent = FluentArgs::with_capacity(arguments.len());
        for (name, value) in arguments {
            fluent.set(*name, value.clone());
        }
        let text: Cow<'_, str> = bundle.format_pattern(pattern, Some(&fluent), &mut Vec::new());
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;
    use std::collections::{BTreeMap, BTreeSet};

    /// The messages of a language's files, each with the arguments that it names.
    fn messages(language: Language) -> BTreeMap<String, BTreeSet<String>> {
        let mut found = BTreeMap::new();
        for source in sources(language) {
            if let Err((_, errors)) = FluentResource::try_new(source.to_owned()) {
                panic!("{language:?}: {errors:?}");
            }
            let mut name = String::new();
            for line in source.lines().filter(|line| !line.starts_with('#')) {
                if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
                    let (begun, _) = line.split_once('=').expect("a message");
                    name = begun.trim().to_owned();
                    let is_new = found.insert(name.clone(), BTreeSet::new()).is_none();
                    assert!(is_new, "{language:?} has {name} twice");
                }
                for argument in line.split('$').skip(1) {
                    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                    let end = argument.find(|letter| !is_letter(letter)).unwrap_or(argument.len());
                    let arguments = found.get_mut(&name).expect("it stands in a message");
                    arguments.insert(argument[..end].to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn each_language_has_the_messages_that_are_declared_and_no_others() {
        let all =
            [common::DECLARED, console::DECLARED, dashboard::DECLARED, shop::DECLARED].concat();
        let declared: BTreeMap<String, BTreeSet<String>> = all
            .iter()
            .map(|(name, arguments)| {
                let arguments = arguments.iter().map(|argument| (*argument).to_owned());
                ((*name).to_owned(), arguments.collect())
            })
            .collect();
        for language in Language::ALL {
            let found = messages(language);
            let names: BTreeSet<_> = found.keys().chain(declared.keys()).collect();
            for name in names {
                assert_eq!(found.get(name), declared.get(name), "{language:?}: {name}");
            }
        }
    }

    #[test]
    fn every_declared_message_is_said_somewhere() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http");
        let mut texts = String::new();
        let mut folders = vec![std::path::PathBuf::from(root)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs" || end == "html") {
                    texts += &std::fs::read_to_string(path).unwrap();
                }
            }
        }
        let unsaid: Vec<_> =
            [common::DECLARED, console::DECLARED, dashboard::DECLARED, shop::DECLARED]
                .concat()
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| !texts.contains(&format!(".{name}(")))
                .collect();
        assert!(unsaid.is_empty(), "declared and never said: {unsaid:?}");
    }

    #[test]
    fn every_problem_has_words_in_chinese() {
        let words = Words::of(Language::Chinese);
        for code in Code::ALL {
            assert!(words.problem(code.name()).is_some(), "problem_{} is missing", code.name());
        }
        assert_eq!(Words::of(Language::English).problem("sold_out"), None);
    }

    #[test]
    fn numbers_are_grouped() {
        for (digits, text) in
            [("1", "1"), ("999", "999"), ("1000", "1,000"), ("1234567", "1,234,567")]
        {
            assert_eq!(grouped(digits), text);
        }
    }
}
