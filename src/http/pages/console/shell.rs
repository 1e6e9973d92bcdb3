//! The frame around each page of the console.

use crate::http::identity::operators::ConsoleUser;
use crate::http::pages::assets::Assets;
use crate::http::pages::language::Language;
use crate::http::pages::times::UtcOffset;
use crate::http::pages::words::Words;
use domain::OperatorRole;

/// The sections of the console, in the order of the navigation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// What is on tonight.
    Tonight,
    /// The live figures.
    Dashboard,
    /// Sales of every status.
    Sales,
    /// Orders of all sales.
    Orders,
    /// Money that has to go back.
    Refunds,
    /// Limits, risk rules and lists.
    Rules,
    /// What could not be stored.
    DeadLetters,
    /// The operators' log.
    Log,
    /// The accounts of operators.
    Operators,
}

impl Section {
    /// All sections, in the order of the navigation.
    const ALL: [Self; 9] = [
        Self::Tonight,
        Self::Dashboard,
        Self::Sales,
        Self::Orders,
        Self::Refunds,
        Self::Rules,
        Self::DeadLetters,
        Self::Log,
        Self::Operators,
    ];

    /// The path of its first page.
    pub fn path(self) -> &'static str {
        match self {
            Self::Tonight => "/console",
            Self::Dashboard => "/console/dashboard",
            Self::Sales => "/console/sales",
            Self::Orders => "/console/orders",
            Self::Refunds => "/console/refunds",
            Self::Rules => "/console/rules",
            Self::DeadLetters => "/console/dead-letters",
            Self::Log => "/console/log",
            Self::Operators => "/console/operators",
        }
    }

    /// Who sees it: those whom one of these roles allows it.
    pub fn roles(self) -> &'static [OperatorRole] {
        match self {
            Self::Tonight | Self::Dashboard | Self::Sales => &[OperatorRole::Viewer],
            // These name buyers.
            Self::Orders | Self::Refunds | Self::DeadLetters => &[OperatorRole::Operator],
            Self::Rules | Self::Log => OperatorRole::READERS,
            Self::Operators => &[OperatorRole::Admin],
        }
    }

    fn title(self, words: Words) -> String {
        match self {
            Self::Tonight => words.console_tonight(),
            Self::Dashboard => words.dashboard_title(),
            Self::Sales => words.console_sales(),
            Self::Orders => words.console_orders(),
            Self::Refunds => words.console_refunds(),
            Self::Rules => words.console_rules(),
            Self::DeadLetters => words.console_dead_letters(),
            Self::Log => words.console_log(),
            Self::Operators => words.console_operators(),
        }
    }
}

/// A link of the navigation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Where it leads.
    pub path: &'static str,
    /// What it says.
    pub title: String,
    /// Whether this page is in that section.
    pub is_here: bool,
}

/// The frame around a page, as `templates/frame.html` and `templates/console/base.html` need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsoleShell {
    /// What the page says.
    pub words: Words,
    /// The page's title, without the shop's name.
    pub title: String,
    /// What is said once.
    pub flash: Option<String>,
    /// The operator who looks at it, if one has logged in.
    pub user: Option<ConsoleUser>,
    /// Where in the console it is.
    pub section: Option<Section>,
    /// The shop's zone, if times can be shown in others.
    pub offset: Option<UtcOffset>,
}

impl ConsoleShell {
    /// Makes the frame of a page with this title, for nobody in particular.
    pub fn new(words: Words, title: String) -> Self {
        Self { words, title, flash: None, user: None, section: None, offset: None }
    }

    /// Returns the tag of the page's language.
    pub fn tag(&self) -> &'static str {
        self.words.language().tag()
    }

    /// Returns the path of a file that the page refers to.
    pub fn asset(&self, name: &str) -> String {
        Assets::path(name)
    }

    /// Returns the languages that this page is not in.
    pub fn others(&self) -> impl Iterator<Item = Language> {
        let own = self.words.language();
        Language::ALL.into_iter().filter(move |language| *language != own)
    }

    /// Returns the page to come back to after a choice of language.
    pub fn here(&self) -> &'static str {
        self.section.map_or("/console", Section::path)
    }

    /// Returns the sections that the operator sees; none without one.
    pub fn links(&self) -> Vec<Link> {
        let Some(user) = &self.user else { return Vec::new() };
        let seen = Section::ALL.into_iter().filter(|section| user.roles.allow_any(section.roles()));
        let link = |section: Section| Link {
            path: section.path(),
            title: section.title(self.words),
            is_here: self.section == Some(section),
        };
        seen.map(link).collect()
    }

    /// Returns the names of the operator's roles in words.
    pub fn role_names(&self) -> String {
        let roles = self.user.iter().flat_map(|user| user.roles.iter());
        let names: Vec<String> = roles.map(|role| role_name(self.words, role)).collect();
        names.join(", ")
    }
}

/// Returns what a role is called.
pub fn role_name(words: Words, role: OperatorRole) -> String {
    match role {
        OperatorRole::Viewer => words.role_viewer(),
        OperatorRole::Operator => words.role_operator(),
        OperatorRole::Approver => words.role_approver(),
        OperatorRole::Admin => words.role_admin(),
    }
}
