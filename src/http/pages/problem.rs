//! What went wrong, as a page: for browsers, which ask for HTML.

use super::console::shell::ConsoleShell;
use super::headers::{self, Keep};
use super::language::Language;
use super::shell::Shell;
use super::words::Words;
use crate::http::identity::site::Site;
use crate::http::problem::{Code, Problem};
use crate::http::request::page::PLACE;
use askama::Template;
use axum::response::Response;
use hyper::{Request, Uri};

/// That the sender of a request wants to see problems as a page, and in which language.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    language: Language,
    is_console: bool,
    /// Where the list begins, if a place in one was asked for.
    beginning: Option<String>,
}

impl Wanted {
    /// Returns what the sender of the request wants to see; none if it is a program.
    pub fn of<B>(site: &Site, request: &Request<B>) -> Option<Self> {
        let (asked, path) = (request.headers(), request.uri().path());
        if path.starts_with("/api/") || !headers::prefers_html(asked) {
            return None;
        }
        let place = site.place(asked, request.uri());
        Some(Self {
            language: Language::of_request(asked, request.uri(), place),
            is_console: path == "/console" || path.starts_with("/console/"),
            beginning: beginning(request.uri()),
        })
    }

    /// Makes the page of a problem; none if it cannot be rendered.
    pub fn page(self, site: &Site, problem: &Problem, request_id: &str) -> Option<Response> {
        let words = Words::of(self.language);
        let mut shown = Shown::of(words, problem.code, Some(request_id.to_owned()));
        if problem.code == Code::NotFound {
            // What the code means is said to programs, which look for a path of the API.
            shown.title = words.page_missing();
            shown.advice = words.page_missing_advice();
        }
        let wrong = problem.errors.shown.iter().map(|error| error.pointer.clone());
        shown.fields = wrong.filter(|name| !name.is_empty()).collect();
        if shown.fields.iter().any(|name| name == PLACE) {
            shown.title = words.place_unknown();
            shown.advice = words.place_unknown_advice();
            shown.beginning = self.beginning;
        }
        if problem.code == Code::BodyTooLarge && self.is_console {
            // Nothing is as large there as pictures are.
            shown.title = words.console_too_large();
            shown.advice = words.console_too_large_advice();
        }
        let title = shown.title.clone();
        let html = if self.is_console {
            ConsoleProblem { shell: ConsoleShell::new(words, title), shown }.render()
        } else {
            ShopProblem { shell: Shell::shared(words, title, "/"), shown }.render()
        };
        Some(headers::page(site, problem.code.status(), html.ok()?, Keep::Visitor))
    }
}

/// What a page says about a problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// What went wrong, in short.
    pub title: String,
    /// What to do about it.
    pub advice: String,
    /// The fields and parameters that are not valid.
    pub fields: Vec<String>,
    /// Where the list begins, if it is a place in one that is not known.
    pub beginning: Option<String>,
    /// The code, for programs and for those who are asked for help.
    pub code: Code,
    /// The request's identity, if there was a request.
    pub request_id: Option<String>,
}

impl Shown {
    /// Returns what there is to say about a problem with this code.
    pub fn of(words: Words, code: Code, request_id: Option<String>) -> Self {
        let (title, advice) = words
            .problem(code.name())
            .unwrap_or_else(|| (code.title().to_owned(), code.explanation().person.to_owned()));
        Self { title, advice, fields: Vec::new(), beginning: None, code, request_id }
    }
}

/// What was asked for without the place in its list.
fn beginning(uri: &Uri) -> Option<String> {
    let is_place = |pair: &&str| pair.split('=').next() == Some(PLACE);
    let (path, query) = (uri.path(), uri.query()?);
    query.split('&').find(is_place)?;
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_place(pair)).collect();
    Some(if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) })
}

/// Says that something was tried too often, and when it can be tried again.
pub fn too_often(words: Words, problem: &Problem) -> String {
    words.tried_too_often(problem.retry_after_seconds().unwrap_or(1).into())
}

#[derive(Template)]
#[template(path = "shop/problem.html")]
struct ShopProblem {
    shell: Shell,
    shown: Shown,
}

/// Renders what a code means, as a page that is the same for everybody.
pub fn code_page(words: Words, code: Code) -> Option<String> {
    let shown = Shown::of(words, code, None);
    let path = format!("/problems/{}", code.name());
    let shell = Shell::shared(words, shown.title.clone(), path);
    CodePage { shell, shown }.render().ok()
}

#[derive(Template)]
#[template(path = "shop/code.html")]
struct CodePage {
    shell: Shell,
    shown: Shown,
}

#[derive(Template)]
#[template(path = "console/problem.html")]
struct ConsoleProblem {
    shell: ConsoleShell,
    shown: Shown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::ACCEPT;

    fn wanted(path: &str, accept: &str) -> Option<Wanted> {
        let request = Request::builder().uri(path).header(ACCEPT, accept).body(()).unwrap();
        Wanted::of(&Site::default(), &request)
    }

    #[test]
    fn browsers_see_a_page_and_programs_do_not() {
        let html = "text/html,*/*;q=0.8";
        assert_eq!(wanted("/zh/items/7", "*/*"), None);
        assert_eq!(wanted("/api/v1/items/7", html), None);
        let shop = Wanted { language: Language::Chinese, is_console: false, beginning: None };
        assert_eq!(wanted("/zh/items/7", html), Some(shop));
        let console = Wanted { language: Language::English, is_console: true, beginning: None };
        assert_eq!(wanted("/console/sales", html), Some(console));
    }

    #[test]
    fn a_list_begins_without_the_place_in_it() {
        for (asked, expected) in [
            ("/console/log", None),
            ("/console/log?limit=5", None),
            ("/console/log?starting_after=x", Some("/console/log")),
            (
                "/console/orders?buyer=a%26b&starting_after=&to=",
                Some("/console/orders?buyer=a%26b&to="),
            ),
        ] {
            assert_eq!(beginning(&asked.parse().unwrap()).as_deref(), expected, "{asked}");
        }
    }

    #[test]
    fn a_page_says_what_to_do_and_names_the_request() {
        for language in Language::ALL {
            for is_console in [false, true] {
                let wanted = Wanted { language, is_console, beginning: None };
                let page = wanted.page(&Site::default(), &Problem::item_not_found(), "r-1");
                assert_eq!(page.unwrap().status(), 404);
            }
        }
        let shown = Shown::of(Words::of(Language::Chinese), Code::SoldOut, None);
        assert_eq!(shown.title, "已售罄");
    }
}
