//! Users and operators of a mall, who come with the tokens of its own issuer.

use domain::Timestamp;
use harness::http::{Answer, Connection};
use harness::{Issuer, Manner, SigningKey};
use seckill::actors::{Kept, KeptOptions};
use seckill::app::issuer;
use seckill::clock::Clock;
use seckill::http::{Algorithm, Expected, KeySet, LimitOptions, OidcOptions, Options};
use seckill::store::outbound::{Outbound, OutboundOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use support::{Ask, Setup, Shop};
use tokio::task::JoinHandle;

const HOUR: Duration = Duration::from_secs(3_600);

/// Keys are fetched once, and again for each token that none of them fits.
const EAGER: KeptOptions = KeptOptions {
    every: HOUR,
    retry: HOUR,
    pause: Duration::ZERO,
    stale_max: Duration::from_secs(24 * 3_600),
    patience: HOUR,
};

/// Keys are fetched once, whatever comes. The product allows it again after half a minute.
pub const PATIENT: KeptOptions = KeptOptions { pause: HOUR, ..EAGER };

/// A mall's issuer, and a node of a shop that serves its users.
pub struct Node {
    /// The shop.
    pub shop: Shop,
    keys: Kept<KeySet>,
    keeper: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Node {
    /// Opens it.
    pub async fn open(issuer: &Issuer, kept: KeptOptions) -> Self {
        Self::open_with(issuer, kept, Options::default()).await
    }

    async fn open_with(issuer: &Issuer, kept: KeptOptions, http: Options) -> Self {
        let clock = Clock::start(Timestamp(0));
        let keys = Kept::new("keys", kept, clock.clone());
        let bounds = OutboundOptions {
            timeout: Duration::from_secs(1),
            in_flight_max: 1,
            failures_max: u32::MAX,
            pause: Duration::ZERO,
        };
        let outbound = Arc::new(Outbound::new(&issuer.jwks_url(), bounds, clock).expect("a URL"));
        let keeper = keys.clone().keep(move || issuer::fetch(Arc::clone(&outbound)));
        let keeper = tokio::spawn(keeper);
        let oidc = OidcOptions {
            expected: Expected {
                issuer: issuer.name(),
                audience: "seckill".to_owned(),
                operator_claim: "roles".to_owned(),
                operator_value: Some("sale-operator".to_owned()),
                approver_value: Some("sale-approver".to_owned()),
                operator_name_claim: "sub".to_owned(),
            },
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
            keys: keys.clone(),
        };
        let shop = Setup { oidc: Some(oidc), http, ..Setup::default() }.open().await;
        Self { shop, keys, keeper }
    }

    /// What a token of this subject claims, for ten minutes.
    pub fn claims(&self, issuer: &Issuer, subject: &str) -> Value {
        let now = self.shop.engine.now().0 / 1000;
        json!({
            "iss": issuer.name(), "aud": "seckill", "sub": subject, "iat": now, "exp": now + 600,
        })
    }

    async fn exchange(&self, token: &str) -> Answer {
        let ask = Ask { token: Some(token), ..Ask::default() };
        self.shop.ask("POST", "/api/v1/session", ask).await
    }

    /// A token of the shop for this one.
    async fn session(&self, token: &str) -> String {
        let answer = self.exchange(token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// The user that a token of the shop names.
    fn user(&self, session: &str) -> u64 {
        match self.shop.signer.verify(session, self.shop.engine.now()) {
            Ok(seckill::http::Principal::Buyer(user_id)) => user_id.0,
            other => panic!("{other:?}"),
        }
    }

    /// Checks that a token is refused wherever it is sent.
    async fn must_refuse(&self, token: &str, what: &str) {
        let refused = (401, "unauthenticated".to_owned());
        let exchanged = self.exchange(token).await;
        assert_eq!(exchanged.problem(), refused, "{what}: {}", exchanged.text());
        let used = self.shop.post("/api/v1/items/1/buy", token, None).await;
        assert_eq!(used.problem(), refused, "{what}: {}", used.text());
        let operated = self.shop.get("/api/v1/admin/sales", Some(token)).await;
        assert_eq!(operated.problem(), refused, "{what}: {}", operated.text());
    }

    /// Waits until the keys were fetched for the first time.
    pub async fn ready(self) -> Self {
        self.keys.renew().await;
        assert!(self.keys.current().is_some(), "{:?}", self.keys.trouble());
        self
    }
}

#[tokio::test]
async fn a_malls_user_buys_with_a_session_and_with_the_malls_own_token() {
    let key = SigningKey::ed25519("k1");
    let issuer = Issuer::publishing(&[&key]).await;
    let node = Node::open(&issuer, PATIENT).await;
    let item = node.shop.live_item(10).await;
    let token = key.token(&node.claims(&issuer, "用户-1"));
    let session = node.session(&token).await;
    let bought = node.shop.post(&format!("/api/v1/items/{item}/buy"), &session, None).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    // The same person, whichever token and however often.
    let listed = node.shop.get("/api/v1/orders", Some(&token)).await.json();
    assert_eq!(listed["data"][0]["order_id"], bought.json()["order_id"]);
    let again = node.shop.post(&format!("/api/v1/items/{item}/buy"), &token, None).await;
    assert_eq!(again.problem(), (409, "limit_reached".to_owned()));
    let later = key.token(&node.claims(&issuer, "用户-1"));
    assert_eq!(node.user(&node.session(&later).await), node.user(&session));
    let other = key.token(&node.claims(&issuer, "用户-2"));
    assert_ne!(node.user(&node.session(&other).await), node.user(&session));
    let bought = node.shop.post(&format!("/api/v1/items/{item}/buy"), &other, None).await;
    assert_eq!(bought.status, 201, "{}", bought.text());
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn a_session_ends_no_later_than_the_token_that_it_was_got_for() {
    let key = SigningKey::p256("k1");
    let issuer = Issuer::publishing(&[&key]).await;
    let node = Node::open(&issuer, PATIENT).await;
    let mut claims = node.claims(&issuer, "u-1");
    let now = node.shop.engine.now().0 / 1000;
    for (ends_in, lasts) in [(600, 600), (100_000, 3_600)] {
        claims["exp"] = (now + ends_in).into();
        let answer = node.exchange(&key.token(&claims)).await.json();
        let expires_at = answer["expires_at"].as_str().expect("a time");
        let expires_at = seckill::http::timestamp::parse(expires_at).expect("a time").0 / 1000;
        assert!((now + lasts..=now + lasts + 60).contains(&expires_at), "{expires_at} {now}");
        assert!(expires_at <= now + ends_in);
        let session = answer["token"].as_str().expect("a token");
        let over = Timestamp(expires_at * 1000);
        assert!(node.shop.signer.verify(session, over).is_err());
    }
    // Clocks differ, so such a token is good a moment longer; no session can be made of it.
    claims["exp"] = now.into();
    let token = key.token(&claims);
    let refused = node.exchange(&token).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    assert_eq!(node.shop.get("/api/v1/orders", Some(&token)).await.status, 200);
}

#[tokio::test]
async fn each_algorithm_is_accepted_with_a_key_of_its_type() {
    let (ed, ec) = (SigningKey::ed25519("a"), SigningKey::p256("b"));
    let nameless = SigningKey::rsa("c").map(SigningKey::without_name);
    let mut keys = vec![&ed, &ec];
    keys.extend(nameless.as_ref());
    let issuer = Issuer::publishing(&keys).await;
    let node = Node::open(&issuer, PATIENT).await;
    for key in keys {
        node.session(&key.token(&node.claims(&issuer, "u-1"))).await;
    }
}

#[tokio::test]
async fn forged_and_misdirected_tokens_are_refused() {
    let (key, other) = (SigningKey::ed25519("a"), SigningKey::p256("b"));
    let rsa = SigningKey::rsa("c");
    let stranger = SigningKey::ed25519("a");
    let mut keys = vec![&key, &other];
    keys.extend(rsa.as_ref());
    let issuer = Issuer::publishing(&keys).await;
    let node = Node::open(&issuer, PATIENT).await.ready().await;
    let claims = node.claims(&issuer, "u-1");
    let now = node.shop.engine.now().0 / 1000;
    node.session(&key.token(&claims)).await;

    let header = |name: &str, value: Value| {
        let mut header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "a" });
        header[name] = value;
        header
    };
    for header in [
        header("alg", json!("none")),
        header("alg", json!("NONE")),
        header("alg", json!("HS256")),
        header("alg", json!("ES256")),
        header("alg", json!("RS256")),
        header("kid", json!("b")),
        header("kid", json!("unknown")),
        header("kid", json!("../../dev/null")),
        header("crit", json!(["exp"])),
        header("typ", json!("logout+jwt")),
    ] {
        node.must_refuse(&key.token_with(&header, &claims), &header.to_string()).await;
    }
    // A header that brings a key, or says where to get one, is read past: the issuer's key decides.
    for name in ["jku", "x5u"] {
        let header = header(name, json!(issuer.jwks_url()));
        node.session(&key.token_with(&header, &claims)).await;
        node.must_refuse(&stranger.token_with(&header, &claims), name).await;
    }
    let brought = header("jwk", stranger.jwk());
    node.must_refuse(&stranger.token_with(&brought, &claims), "jwk").await;
    node.must_refuse(&stranger.token(&claims), "another's key of the same name").await;

    // The public key as the secret of a MAC, as its bytes, as its JWK, and under the shop's own header.
    for key in &keys {
        for secret in [key.public_bytes(), key.jwk().to_string().into_bytes()] {
            for header in
                [json!({ "alg": "HS256", "typ": "JWT" }), json!({ "alg": "HS256", "kid": "a" })]
            {
                let forged = harness::mac_token(&secret, &header, &claims);
                node.must_refuse(&forged, "HS256 with a public key").await;
            }
        }
    }
    // Not signed at all.
    let token = key.token(&claims);
    let (signed, _) = token.rsplit_once('.').expect("a signature");
    node.must_refuse(&format!("{signed}."), "no signature").await;
    node.must_refuse(signed, "two parts").await;

    let claim = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    for claims in [
        claim("iss", json!("https://elsewhere.example")),
        claim("aud", json!("another shop")),
        claim("aud", json!([])),
        claim("exp", json!(now - 61)),
        claim("exp", Value::Null),
        claim("nbf", json!(now + 120)),
        claim("sub", json!("")),
        claim("sub", json!("x".repeat(256))),
        claim("long", json!("x".repeat(8 * 1024))),
    ] {
        let what: String = claims.to_string().chars().take(200).collect();
        node.must_refuse(&key.token(&claims), &what).await;
    }
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn every_letter_of_a_token_counts() {
    let keys = [Some(SigningKey::ed25519("a")), Some(SigningKey::p256("b")), SigningKey::rsa("c")];
    let keys: Vec<&SigningKey> = keys.iter().flatten().collect();
    let issuer = Issuer::publishing(&keys).await;
    let node = Node::open(&issuer, PATIENT).await.ready().await;
    let mut connection = Connection::open(node.shop.address).await;
    let mut random = harness::Random::of("letters of a token");
    for key in keys {
        let token = key.token(&node.claims(&issuer, "u-1"));
        node.session(&token).await;
        for _ in 0..200 {
            let place = usize::try_from(random.below(token.len() as u64)).expect("small");
            let mut forged = token.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("text");
            let request = format!(
                "POST /api/v1/session HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {forged}\r\n\
                 content-length: 0\r\n\r\n"
            );
            connection.send(request.as_bytes()).await;
            let answer = connection.answer().await;
            assert_eq!(answer.status, 401, "letter {place} of {token}");
        }
    }
}

#[tokio::test]
async fn keys_are_rotated_under_a_running_shop() {
    let (old, new) = (SigningKey::p256("2026"), SigningKey::p256("2027"));
    let issuer = Issuer::publishing(&[&old]).await;
    let node = Node::open(&issuer, EAGER).await.ready().await;
    let (before, after) =
        (old.token(&node.claims(&issuer, "u-1")), new.token(&node.claims(&issuer, "u-1")));
    assert_eq!(node.shop.get("/api/v1/orders", Some(&before)).await.status, 200);
    let session = node.session(&before).await;
    issuer.publish(&[&old, &new]);
    assert_eq!(node.shop.get("/api/v1/orders", Some(&after)).await.status, 200);
    assert_eq!(node.shop.get("/api/v1/orders", Some(&before)).await.status, 200);
    let fetched = issuer.requests();
    // The old key is taken back. Who was let in with it before is let in no more.
    issuer.publish(&[&new]);
    node.keys.renew().await;
    assert_eq!(issuer.requests(), fetched + 1);
    node.must_refuse(&before, "a token of a key that was taken back").await;
    assert_eq!(node.shop.get("/api/v1/orders", Some(&after)).await.status, 200);
    // What the shop itself signed is good until it ends.
    assert_eq!(node.shop.get("/api/v1/orders", Some(&session)).await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_is_away_slow_or_lying_changes_nothing() {
    let key = SigningKey::ed25519("a");
    let issuer = Issuer::publishing(&[&key]).await;
    let node = Node::open(&issuer, EAGER).await.ready().await;
    let unknown = SigningKey::ed25519("b");
    let set_of_nobody = json!({ "keys": [] }).to_string();
    let set_of_secrets = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }).to_string();
    for manner in [
        Manner::Fails(500),
        Manner::Fails(404),
        Manner::Redirects(issuer.jwks_url()),
        Manner::Says("<html>maintenance</html>".to_owned()),
        Manner::Says(set_of_nobody),
        Manner::Says(set_of_secrets),
        Manner::Says(format!("{}{}", " ".repeat(70_000), harness::jwk_set(&[&unknown]))),
        Manner::IsEndless,
        Manner::IsSilent,
    ] {
        issuer.behave(manner.clone());
        // Its key is unknown, so the issuer is asked.
        let refused = node.exchange(&unknown.token(&node.claims(&issuer, "u-1"))).await;
        assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()), "{manner:?}");
        assert!(node.keys.trouble().is_some(), "{manner:?}");
        node.session(&key.token(&node.claims(&issuer, "u-1"))).await;
        let ready = node.shop.look("/readyz?verbose").await.json();
        let dependencies = ready["dependencies"].as_array().expect("a list");
        let shown = dependencies.iter().find(|one| one["name"] == "issuer").expect("it");
        assert_eq!(shown["healthy"], false, "{manner:?} {shown}");
        assert_eq!(ready["status"], "degraded");
    }
    issuer.publish(&[&key, &unknown]);
    node.session(&unknown.token(&node.claims(&issuer, "u-1"))).await;
    assert_eq!(node.keys.trouble(), None);
}

#[tokio::test]
async fn a_shop_starts_without_its_issuer_and_says_what_is_missing() {
    let key = SigningKey::ed25519("a");
    let issuer = Issuer::publishing(&[&key]).await;
    issuer.behave(Manner::Fails(503));
    let node = Node::open(&issuer, EAGER).await;
    let item = node.shop.live_item(1).await;
    let token = key.token(&node.claims(&issuer, "u-1"));
    let refused = node.exchange(&token).await;
    assert_eq!(refused.problem(), (503, "issuer_unavailable".to_owned()));
    // The shop's own users buy meanwhile.
    assert_eq!(node.shop.buy(&item, 1, "k").await.status, 201);
    issuer.publish(&[&key]);
    node.session(&token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unknown_keys_ask_the_issuer_nothing_and_starve_nobody() {
    let key = SigningKey::ed25519("a");
    let issuer = Issuer::publishing(&[&key]).await;
    let node = Arc::new(Node::open(&issuer, PATIENT).await.ready().await);
    let claims = node.claims(&issuer, "u-1");
    let honest = key.token(&claims);
    let flood: Vec<_> = (0..10)
        .map(|flooder| {
            let (node, claims) = (Arc::clone(&node), claims.clone());
            let stranger = SigningKey::ed25519("a");
            tokio::spawn(async move {
                let mut connection = Connection::open(node.shop.address).await;
                for number in 0..1_000 {
                    let header = json!({ "alg": "EdDSA", "kid": format!("{flooder}-{number}") });
                    let token = stranger.token_with(&header, &claims);
                    let request = format!(
                        "POST /api/v1/session HTTP/1.1\r\nhost: shop\r\n\
                         authorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
                    );
                    connection.send(request.as_bytes()).await;
                    assert_eq!(connection.answer().await.status, 401);
                }
            })
        })
        .collect();
    for _ in 0..100 {
        node.session(&honest).await;
    }
    for flooder in flood {
        flooder.await.expect("it lives");
    }
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn two_nodes_need_not_know_of_each_other() {
    let key = SigningKey::ed25519("a");
    let issuer = Issuer::publishing(&[&key]).await;
    let (one, two) = (Node::open(&issuer, PATIENT).await, Node::open(&issuer, PATIENT).await);
    let token = key.token(&one.claims(&issuer, "u-1"));
    let session = one.session(&token).await;
    // They share the secret, so what one signed the other believes; and both know the issuer.
    assert_eq!(two.shop.get("/api/v1/orders", Some(&session)).await.status, 200);
    assert_eq!(two.shop.get("/api/v1/orders", Some(&token)).await.status, 200);
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test]
async fn operators_come_by_a_claim() {
    let key = SigningKey::ed25519("a");
    let issuer = Issuer::publishing(&[&key]).await;
    let node = Node::open(&issuer, PATIENT).await;
    let token = |subject: &str, roles: Value| {
        let mut claims = node.claims(&issuer, subject);
        claims["roles"] = roles;
        key.token(&claims)
    };
    let operator = token("eva", json!(["sale-operator"]));
    let approver = node.session(&token("bo", json!(["sale-approver"]))).await;
    let sale = node.shop.draft(&[support::offer("pear", 1)]);
    let created = node.shop.post("/api/v1/admin/sales", &operator, Some(sale)).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let path =
        format!("/api/v1/admin/sales/{}", created.json()["sale_id"].as_str().expect("an id"));
    let shown = node.shop.get(&path, Some(&operator)).await.json();
    assert_eq!(shown["created_by"], "eva", "{shown}");
    assert_eq!(node.shop.post(&format!("{path}/submit"), &operator, None).await.status, 200);
    let refused = node.shop.post(&format!("{path}/approve"), &operator, None).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    // One person has one name, whatever the claim makes of it.
    let own = token("eva", json!(["sale-operator", "sale-approver"]));
    let refused = node.shop.post(&format!("{path}/approve"), &own, None).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    let approved = node.shop.post(&format!("{path}/approve"), &approver, None).await;
    assert_eq!(approved.status, 200, "{}", approved.text());
    for roles in [json!([]), json!(["customer"]), json!("sale-operators")] {
        let refused = node.shop.get("/api/v1/admin/sales", Some(&token("eva", roles))).await;
        assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    }
    let nameless = token("ev\u{430}", json!(["sale-operator"]));
    let refused = node.shop.get("/api/v1/admin/sales", Some(&nameless)).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn without_an_issuer_nothing_is_exchanged() {
    let shop = Shop::open().await;
    let key = SigningKey::ed25519("a");
    let own = shop.buyer(1);
    for token in [key.token(&json!({ "sub": "1" })), own] {
        let ask = Ask { token: Some(&token), ..Ask::default() };
        let refused = shop.ask("POST", "/api/v1/session", ask).await;
        assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    }
}

#[tokio::test]
async fn registration_can_be_closed() {
    let shop = Shop::with(Options { registration: false, ..Options::default() }).await;
    let ann = json!({ "user_name": "ann", "password": "correct horse" });
    let ask = Ask { body: Some(ann.clone()), ..Ask::default() };
    let refused = shop.ask("POST", "/api/v1/users", ask).await;
    assert_eq!(refused.problem(), (403, "forbidden".to_owned()));
    // Nor on a page, and the log-in leads to none.
    let page = shop.get("/en/login", None).await;
    assert!(page.status == 200 && !page.text().contains("/register"), "{}", page.text());
    assert_eq!(shop.get("/en/register", None).await.status, 403);
    assert!(Shop::open().await.get("/en/login", None).await.text().contains("/register"));
    let login = shop.ask("POST", "/api/v1/login", Ask { body: Some(ann), ..Ask::default() }).await;
    assert_eq!(login.problem(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn tokens_are_exchanged_as_often_as_people_may_log_in() {
    let key = SigningKey::ed25519("k1");
    let issuer = Issuer::publishing(&[&key]).await;
    let limits = LimitOptions {
        login_address_per_minute: 6,
        login_name_per_minute: 3,
        ..LimitOptions::NONE
    };
    let node = Node::open_with(&issuer, PATIENT, Options { limits, ..Options::default() }).await;
    let node = node.ready().await;
    let token = key.token(&node.claims(&issuer, "u-1"));
    for _ in 0..3 {
        node.session(&token).await;
    }
    let refused = (429, "rate_limited".to_owned());
    let again = node.exchange(&token).await;
    assert_eq!(again.problem(), refused);
    assert!(again.header("retry-after").is_some());
    // Another user, and what nobody has verified, count for the address.
    node.session(&key.token(&node.claims(&issuer, "u-2"))).await;
    assert_eq!(node.exchange("nonsense").await.status, 401);
    let third = node.exchange(&key.token(&node.claims(&issuer, "u-3"))).await;
    assert_eq!(third.problem(), refused);
    assert_eq!(node.exchange("nonsense").await.problem(), refused);
}
