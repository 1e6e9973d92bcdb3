//! A browser without scripts: plain HTTP, and the cookies that it keeps.

use harness::http::{Answer, Connection};
use seckill::http::operator_link;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use support::Shop;

/// A browser at one address, with its cookies.
pub struct Browser {
    /// Where the shop is.
    pub address: SocketAddr,
    /// What it keeps.
    pub cookies: BTreeMap<String, String>,
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

impl Browser {
    /// Opens one without cookies.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// Asks, and keeps the cookies of the answer.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let headers = format!("accept: text/html\r\n{headers}");
        self.send(method, path, &headers, body).await
    }

    /// Gets what accepts this kind of answer.
    pub async fn ask_for(&mut self, accept: &str, path: &str) -> Answer {
        self.send("GET", path, &format!("accept: {accept}\r\n"), "").await
    }

    async fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}",
            self.address
        );
        if !self.cookies.is_empty() {
            let cookies: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let _ = write!(head, "cookie: {}\r\n", cookies.join("; "));
        }
        if method == "POST" {
            let kind = "application/x-www-form-urlencoded";
            let _ = write!(head, "content-type: {kind}\r\ncontent-length: {}\r\n", body.len());
        }
        let mut connection = Connection::open(self.address).await;
        connection.send(format!("{head}\r\n{body}").as_bytes()).await;
        let answer = connection.answer().await;
        for line in answer.headers("set-cookie") {
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Asks for a page.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    /// Submits a form from a page of the same origin.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
            .collect();
        self.ask("POST", path, "sec-fetch-site: same-origin\r\n", &body.join("&")).await
    }

    /// Accepts a link for this name, and is logged in then.
    pub async fn accept(shop: &Shop, address: SocketAddr, name: &str, roles: &str) -> Self {
        let roles = roles.parse().expect("roles");
        let code = operator_link::code(&shop.signer, name, roles, shop.engine.now());
        let mut browser = Self::at(address);
        let fields = [("code", code.as_str()), ("password", PASSWORD)];
        let accepted = browser.submit("/console/accept", &fields).await;
        assert_eq!(leads_to(&accepted), "/console", "{}", accepted.text());
        browser
    }
}

/// What operators of tests choose.
pub const PASSWORD: &str = "long jing 1886";

/// Where an answer leads to.
pub fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").expect("somewhere")
}

/// The value of a hidden field in a page.
pub fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no field {name}: {page}"));
    rest.split_once('"').expect("a value").0
}
