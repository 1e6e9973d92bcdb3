//! Challenges that somebody else shows and judges: Turnstile, hCaptcha and GeeTest 4 behind one port.
//!
//! The provider's script in the buyer's page gives out a text, which the buyer sends with the request for
//! a token, and which the provider judges once. What it answers is believed only as far as it speaks of
//! this shop. Must not know what is done when it does not answer.

use crate::actors::{Outbound, OutboundError};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::time::Duration;

const FORM: &str = "application/x-www-form-urlencoded";
/// The action that a page asks a Turnstile widget to be for.
pub const ACTION: &str = "buy";

/// Who shows and judges the challenges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Turnstile, by Cloudflare.
    Turnstile,
    /// hCaptcha, by Intuition Machines.
    Hcaptcha,
    /// GeeTest's fourth version (极验).
    Geetest,
}

impl Provider {
    /// Where it judges by itself.
    pub fn verify_url(self) -> &'static str {
        match self {
            Self::Turnstile => "https://challenges.cloudflare.com/turnstile/v0/siteverify",
            Self::Hcaptcha => "https://api.hcaptcha.com/siteverify",
            Self::Geetest => "https://gcaptcha4.geetest.com/validate",
        }
    }

    /// Its name in settings and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turnstile => "turnstile",
            Self::Hcaptcha => "hcaptcha",
            Self::Geetest => "geetest",
        }
    }

    /// Where its script is by itself.
    fn script_url(self) -> &'static str {
        match self {
            Self::Turnstile => {
                "https://challenges.cloudflare.com/turnstile/v0/api.js?render=explicit"
            }
            Self::Hcaptcha => "https://js.hcaptcha.com/1/api.js?render=explicit",
            Self::Geetest => "https://static.geetest.com/v4/gt4.js",
        }
    }

    /// What else its script loads from, as a policy for content names it.
    fn sources(self) -> &'static str {
        match self {
            Self::Turnstile => "https://challenges.cloudflare.com",
            Self::Hcaptcha => "https://hcaptcha.com https://*.hcaptcha.com",
            Self::Geetest => "https://*.geetest.com https://*.geevisit.com",
        }
    }
}

/// The script that shows a challenge, and what a page has to let it load from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WidgetScript {
    /// Where it is.
    pub url: String,
    /// The sources that the page's policy names.
    pub sources: String,
}

/// What a shop has agreed on with a provider.
#[derive(Clone, Debug)]
pub struct Account {
    /// Which provider it is.
    pub provider: Provider,
    /// What names the shop in its pages.
    pub site_key: String,
    /// What names the shop to the provider.
    pub secret: SecretString,
    /// The host whose pages show the challenge; any if empty. GeeTest does not tell it.
    pub hostname: String,
    /// Where the script is that shows the challenge; at the provider if empty.
    pub script_url: String,
}

/// What a buyer's page needs to show the challenge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Shown<'a> {
    /// The provider whose script shows it.
    pub provider: Provider,
    /// What names the shop.
    pub site_key: &'a str,
    /// What the widget is for.
    pub action: &'static str,
}

/// What a provider says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Solved, here and by this shop's page.
    Passed,
    /// Not solved, used before, or solved for somebody else.
    Failed,
}

/// Why there is no verdict, in words for the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoVerdict {
    /// The provider does not answer.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It answers, and gives no verdict: the account may be wrong.
    #[error("the provider gave no verdict: {0}")]
    Answer(String),
}

/// A provider as a shop uses it.
#[derive(Debug)]
pub struct External {
    account: Account,
    outbound: Outbound,
}

/// What the `siteverify` of Turnstile and hCaptcha answers.
#[derive(Deserialize)]
struct SiteVerify {
    success: bool,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
}

/// What GeeTest's script gives out, as JSON.
#[derive(Deserialize)]
struct GeetestSolution {
    lot_number: String,
    captcha_output: String,
    pass_token: String,
    gen_time: String,
}

/// What GeeTest's `validate` answers.
#[derive(Deserialize)]
struct Validate {
    status: String,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl External {
    /// Makes the use of a provider through `outbound`, which asks where it judges.
    pub fn new(account: Account, outbound: Outbound) -> Self {
        Self { account, outbound }
    }

    /// Returns what a buyer's page needs to show the challenge.
    pub fn shown(&self) -> Shown<'_> {
        let Account { provider, site_key, .. } = &self.account;
        Shown { provider: *provider, site_key, action: ACTION }
    }

    /// Returns the script that shows the challenge.
    pub fn script(&self) -> WidgetScript {
        let Account { provider, script_url, .. } = &self.account;
        if script_url.is_empty() {
            let sources = provider.sources().to_owned();
            return WidgetScript { url: provider.script_url().to_owned(), sources };
        }
        // Scheme, host and port are the source; a policy has no use for the rest.
        let origin: Vec<&str> = script_url.splitn(4, '/').take(3).collect();
        let sources = format!("{} {}", origin.join("/"), provider.sources());
        WidgetScript { url: script_url.clone(), sources }
    }

    /// Returns how long ago the provider gave no verdict last, if that has happened.
    pub fn failed_ago(&self) -> Option<Duration> {
        self.outbound.failed_ago()
    }

    /// Has a solution judged, which the provider does once.
    ///
    /// # Errors
    /// Returns `NoVerdict` if the provider does not answer, or says nothing of the solution.
    pub async fn judge(&self, solution: &str) -> Result<Verdict, NoVerdict> {
        let Some(form) = self.account.form(solution) else { return Ok(Verdict::Failed) };
        let reply = self.outbound.post(FORM, form).await?;
        let verdict = match reply.status {
            200 => self.account.read(&reply.body),
            status => Err(NoVerdict::Answer(format!("status {status}"))),
        };
        if verdict.is_err() {
            self.outbound.note_failure();
        }
        verdict
    }
}

impl Account {
    /// The body of the question; none if the solution is not of the provider's form. The buyer's address is
    /// not told: providers do without.
    fn form(&self, solution: &str) -> Option<String> {
        let mut form = Form::default();
        match self.provider {
            Provider::Turnstile | Provider::Hcaptcha => {
                form.push("secret", self.secret.expose_secret());
                form.push("response", solution);
                if self.provider == Provider::Hcaptcha {
                    form.push("sitekey", &self.site_key);
                }
            }
            Provider::Geetest => {
                let solution: GeetestSolution = serde_json::from_str(solution).ok()?;
                let key = self.secret.expose_secret().as_bytes();
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                let sign_token = hmac::sign(&key, solution.lot_number.as_bytes());
                form.push("captcha_id", &self.site_key);
                form.push("lot_number", &solution.lot_number);
                form.push("captcha_output", &solution.captcha_output);
                form.push("pass_token", &solution.pass_token);
                form.push("gen_time", &solution.gen_time);
                form.push("sign_token", &hex(sign_token.as_ref()));
            }
        }
        Some(form.0)
    }

    /// What the provider's answer says of the solution.
    fn read(&self, body: &[u8]) -> Result<Verdict, NoVerdict> {
        let unread = |_| NoVerdict::Answer("not of the form that is agreed".to_owned());
        // serde would take an array for the struct.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(NoVerdict::Answer("not an object".to_owned()));
        }
        if self.provider == Provider::Geetest {
            let Validate { status, result, reason } =
                serde_json::from_slice(body).map_err(unread)?;
            return match (status.as_str(), result.as_deref()) {
                ("success", Some("success")) => Ok(Verdict::Passed),
                ("success", Some(_)) => Ok(Verdict::Failed),
                _ => Err(NoVerdict::Answer(reason.unwrap_or(status))),
            };
        }
        let answer: SiteVerify = serde_json::from_slice(body).map_err(unread)?;
        if answer.success {
            let is_here = self.hostname.is_empty()
                || answer.hostname.as_deref() == Some(self.hostname.as_str());
            // hCaptcha knows no action.
            let is_for_this =
                self.provider != Provider::Turnstile || answer.action.as_deref() == Some(ACTION);
            return Ok(if is_here && is_for_this { Verdict::Passed } else { Verdict::Failed });
        }
        // What is the buyer's fault; anything else is the shop's or the provider's.
        let is_buyers = |code: &String| {
            code.ends_with("input-response")
                || code.contains("duplicate")
                || code.contains("expired")
        };
        if answer.error_codes.iter().all(is_buyers) {
            Ok(Verdict::Failed)
        } else {
            Err(NoVerdict::Answer(answer.error_codes.join(" ")))
        }
    }
}

/// Fields of a form, each escaped.
#[derive(Default)]
struct Form(String);

impl Form {
    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(provider: Provider) -> Account {
        Account {
            provider,
            site_key: "site".to_owned(),
            secret: "a&b".to_owned().into(),
            hostname: "shop.example".to_owned(),
            script_url: String::new(),
        }
    }

    #[test]
    fn each_provider_is_asked_in_its_own_form() {
        assert_eq!(
            account(Provider::Turnstile).form("t =").unwrap(),
            "secret=a%26b&response=t%20%3D"
        );
        assert_eq!(
            account(Provider::Hcaptcha).form("t").unwrap(),
            "secret=a%26b&response=t&sitekey=site"
        );
        let solution = r#"{"lot_number":"l","captcha_output":"o","pass_token":"p","gen_time":"1","captcha_id":"x"}"#;
        let form = account(Provider::Geetest).form(solution).unwrap();
        let (fields, sign_token) = form.rsplit_once("&sign_token=").unwrap();
        assert_eq!(fields, "captcha_id=site&lot_number=l&captcha_output=o&pass_token=p&gen_time=1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a&b");
        assert_eq!(sign_token, hex(hmac::sign(&key, b"l").as_ref()));
        for wrong in ["", "t", "{}", r#"{"lot_number":"l"}"#] {
            assert_eq!(account(Provider::Geetest).form(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_provider_says_is_believed_as_far_as_it_speaks_of_this_shop() {
        let said = |provider, body: &str| account(provider).read(body.as_bytes()).ok();
        let (passed, failed) = (Some(Verdict::Passed), Some(Verdict::Failed));
        for (body, verdict) in [
            (r#"{"success":true,"hostname":"shop.example","action":"buy","cdata":"x"}"#, passed),
            (r#"{"success":true,"hostname":"evil.example","action":"buy"}"#, failed),
            (r#"{"success":true,"hostname":"shop.example","action":"login"}"#, failed),
            (r#"{"success":true,"action":"buy"}"#, failed),
            (r#"{"success":true}"#, failed),
            (r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#, failed),
            (r#"{"success":false,"error-codes":["invalid-input-response"]}"#, failed),
            (r#"{"success":false,"error-codes":["invalid-input-secret"]}"#, None),
            (r#"{"success":false,"error-codes":["internal-error"]}"#, None),
            (r#"{"success":"true","hostname":"shop.example","action":"buy"}"#, None),
            (r#"{"success":1}"#, None),
            (r#"{}"#, None),
            (r#"[true]"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(said(Provider::Turnstile, body), verdict, "{body}");
        }
        assert_eq!(
            said(Provider::Hcaptcha, r#"{"success":true,"hostname":"shop.example"}"#),
            passed
        );
        for (body, verdict) in [
            (r#"{"status":"success","result":"success","reason":"","captcha_args":{}}"#, passed),
            (r#"{"status":"success","result":"fail","reason":"pass_token expire"}"#, failed),
            (r#"{"status":"success"}"#, None),
            (r#"{"status":"error","code":"-50005","msg":"illegal gen_time"}"#, None),
            (r#"{"result":"success"}"#, None),
        ] {
            assert_eq!(said(Provider::Geetest, body), verdict, "{body}");
        }
    }
}
