//! The frame around each page of the shop: its title, its language, who is greeted, and what is said once.

use super::assets::Assets;
use super::language::Language;
use super::words::Words;

/// Who looks at a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Visitor {
    /// Not known here: the page is the same for everybody, and a script greets.
    Anybody,
    /// Somebody who has not logged in.
    Guest,
    /// The buyer of this name.
    Buyer(String),
}

/// The frame around a page, as `templates/frame.html` needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shell {
    /// What the page says.
    pub words: Words,
    /// The page's title, without the shop's name.
    pub title: String,
    /// The page's path below the language, such as `/items/7`.
    pub path: String,
    /// Who looks at it.
    pub visitor: Visitor,
    /// What is said once.
    pub flash: Option<String>,
}

impl Shell {
    /// Makes the frame of a page that is the same for every visitor.
    pub fn shared(words: Words, title: String, path: impl Into<String>) -> Self {
        Self { words, title, path: path.into(), visitor: Visitor::Anybody, flash: None }
    }

    /// Returns whether the page is the same for every visitor.
    pub fn is_shared(&self) -> bool {
        self.visitor == Visitor::Anybody
    }

    /// Returns the name of the buyer who looks at it, if it is one's.
    pub fn buyer(&self) -> Option<&str> {
        match &self.visitor {
            Visitor::Buyer(name) => Some(name),
            Visitor::Anybody | Visitor::Guest => None,
        }
    }

    /// Returns the tag of the page's language.
    pub fn tag(&self) -> &'static str {
        self.words.language().tag()
    }

    /// Returns the path of a file that the page refers to.
    pub fn asset(&self, name: &str) -> String {
        Assets::path(name)
    }

    /// Returns the path of a page in this page's language.
    pub fn href(&self, path: &str) -> String {
        format!("/{}{path}", self.words.language().name())
    }

    /// Returns the languages that this page is not in, each with the path of this page in it.
    pub fn others(&self) -> impl Iterator<Item = (Language, String)> {
        let own = self.words.language();
        let others = Language::ALL.into_iter().filter(move |language| *language != own);
        others.map(|language| (language, format!("/{}{}", language.name(), self.path)))
    }
}
