//! An issuer of tokens, as a mall's log-in service is one: it signs what it is told to, and publishes its
//! keys, or whatever a test wants its clients to find in their place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::process::find;
use crate::required;

const WANTED: &str = "a key that was just generated is one";

/// How the issuer answers who asks for its keys.
#[derive(Clone, Debug)]
pub enum Manner {
    /// With this document and status 200.
    Says(String),
    /// With this status and nothing else.
    Fails(u16),
    /// By sending the client elsewhere.
    Redirects(String),
    /// Not at all, though it accepts the connection.
    IsSilent,
    /// With an answer that never ends.
    IsEndless,
}

/// A private issuer. Dropping it stops it.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    manner: Manner,
    requests: u64,
}

impl Issuer {
    /// Starts an issuer that publishes these keys.
    ///
    /// # Panics
    ///
    /// If the system has no port left.
    pub async fn publishing(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared { manner: Manner::Says(jwk_set(keys)), requests: 0 };
        let shared = Arc::new(Mutex::new(shared));
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Its name, as its tokens have it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its keys are.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        self.behave(Manner::Says(jwk_set(keys)));
    }

    /// Answers in this manner from now on.
    pub fn behave(&self, manner: Manner) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).manner = manner;
    }

    /// How often it was asked for its keys.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).requests
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    // The connections end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A client that has gone needs no answer.
            let _ = answer(stream, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the one request of a connection.
async fn answer(mut stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    const HEAD_BYTES_MAX: usize = 16 * 1024;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let manner = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.requests += 1;
        shared.manner.clone()
    };
    match manner {
        Manner::Says(text) => {
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{text}",
                text.len()
            );
            stream.write_all(answer.as_bytes()).await
        }
        Manner::Fails(status) => {
            let answer =
                format!("HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await
        }
        Manner::Redirects(place) => {
            let answer = format!(
                "HTTP/1.1 302 Found\r\nlocation: {place}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await
        }
        Manner::IsSilent => std::future::pending().await,
        Manner::IsEndless => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"keys\":[";
            stream.write_all(head).await?;
            loop {
                stream.write_all(&[b' '; 4_096]).await?;
            }
        }
    }
}

/// The document that publishes these keys.
#[must_use]
pub fn jwk_set(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// A key that signs tokens.
pub struct SigningKey {
    key_id: Option<String>,
    pair: Pair,
}

enum Pair {
    Rsa(Box<rsa::KeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A new Ed25519 key of this name.
    ///
    /// # Panics
    ///
    /// If the system gives no random bytes.
    #[must_use]
    pub fn ed25519(key_id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect(WANTED);
        let pair = Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect(WANTED));
        Self { key_id: Some(key_id.to_owned()), pair }
    }

    /// A new P-256 key of this name.
    ///
    /// # Panics
    ///
    /// If the system gives no random bytes.
    #[must_use]
    pub fn p256(key_id: &str) -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect(WANTED);
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).expect(WANTED);
        Self { key_id: Some(key_id.to_owned()), pair: Pair::P256(pair) }
    }

    /// A new RSA key of this name with 2,048 bits, or `None` with one line said where openssl is not
    /// installed.
    ///
    /// # Panics
    ///
    /// If openssl makes none; and, with `SECKILL_REQUIRE_SERVICES=1` in the environment, if it is not
    /// installed.
    #[must_use]
    pub fn rsa(key_id: &str) -> Option<Self> {
        let openssl = required(find(&["openssl"]))?;
        let mut command = Command::new(openssl);
        command.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
        let output = command.args(["-outform", "DER"]).output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Which of the two forms it is depends on the version of openssl.
        let pair = rsa::KeyPair::from_pkcs8(&output.stdout)
            .or_else(|_| rsa::KeyPair::from_der(&output.stdout));
        Some(Self {
            key_id: Some(key_id.to_owned()),
            pair: Pair::Rsa(Box::new(pair.expect(WANTED))),
        })
    }

    /// The same key without a name.
    #[must_use]
    pub fn without_name(self) -> Self {
        Self { key_id: None, ..self }
    }

    /// The algorithm that it signs with.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as its bytes stand in a JWK: the modulus, the point, or the key itself.
    #[must_use]
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => components(pair).n,
            Pair::P256(pair) => pair.public_key().as_ref().to_owned(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_owned(),
        }
    }

    /// The public key as a JWK.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = self.public_bytes();
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                json!({ "kty": "RSA", "n": encode(&public), "e": encode(&components(pair).e) })
            }
            Pair::P256(_) => json!({
                "kty": "EC", "crv": "P-256",
                "x": encode(&public[1..33]), "y": encode(&public[33..]),
            }),
            Pair::Ed25519(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&public) }),
        };
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm().into();
        if let Some(key_id) = &self.key_id {
            jwk["kid"] = key_id.as_str().into();
        }
        jwk
    }

    /// A token with these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm(), "typ": "JWT" });
        if let Some(key_id) = &self.key_id {
            header["kid"] = key_id.as_str().into();
        }
        self.token_with(&header, claims)
    }

    /// A token with this header, whatever it says, and these claims.
    ///
    /// # Panics
    ///
    /// If the system gives no random bytes.
    #[must_use]
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let (random, bytes) = (SystemRandom::new(), signed.as_bytes());
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).expect("signed");
                signature
            }
            Pair::P256(pair) => pair.sign(&random, bytes).expect("signed").as_ref().to_owned(),
            Pair::Ed25519(pair) => pair.sign(bytes).as_ref().to_owned(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn components(pair: &rsa::KeyPair) -> rsa::PublicKeyComponents<Vec<u8>> {
    rsa::PublicKeyComponents::from(pair.public())
}

/// A token with this header and these claims, under a MAC with this secret: what an attacker makes of a
/// public key.
#[must_use]
pub fn mac_token(secret: &[u8], header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mac = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}
