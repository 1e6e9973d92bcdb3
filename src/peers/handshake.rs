//! How two nodes make sure of each other: each proves that it has the cluster's secret, and neither shows it.
//!
//! ```text
//! caller → Hello     version, both names, the caller's nonce
//! server → Challenge its own nonce, HMAC(key, "server" ‖ names ‖ nonces)
//! caller → Proof     HMAC(key, "caller" ‖ names ‖ nonces)
//! server → Welcome
//! ```
//!
//! A proof is of one side of one handshake: the role, both names and both nonces are in it. So one that was
//! overheard is good for nothing (another nonce), one that is sent back to who made it neither (another
//! role), and one that was made for a third node neither (another name). What follows on the stream is as
//! safe as the network is: nothing here hides it. Must not know what the nodes say to each other then.

use ring::hmac;

/// The version of what nodes say to each other. Nodes of different versions do not talk.
pub const VERSION: u32 = 1;
/// Bytes of a nonce.
pub const NONCE_LENGTH: usize = 32;
/// Under which name the key is made of a secret.
const PURPOSE: &[u8] = b"seckill: links between nodes, version 1";

/// What only one side may know of a handshake before it begins.
pub type Nonce = [u8; NONCE_LENGTH];

/// What all nodes of a cluster have, and nobody else.
#[derive(Clone)]
pub struct PeerKey(hmac::Key);

impl std::fmt::Debug for PeerKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PeerKey(***)")
    }
}

impl PeerKey {
    /// The key of a secret. What is proven under it says nothing about anything else that is made with the
    /// same secret.
    pub fn of(secret: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = hmac::sign(&secret, PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }
}

/// Who proves something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The node that opened the link.
    Caller,
    /// The node that it reached.
    Server,
}

/// One handshake: who takes part, and what each side threw in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// The name of the node that opened the link.
    pub caller: String,
    /// The name of the node that it wants.
    pub server: String,
    /// The caller's nonce.
    pub caller_nonce: Nonce,
    /// The server's nonce.
    pub server_nonce: Nonce,
}

impl Handshake {
    /// The proof of one side.
    pub fn prove(&self, key: &PeerKey, side: Side) -> Vec<u8> {
        hmac::sign(&key.0, &self.text(side)).as_ref().to_vec()
    }

    /// Whether `proof` is that of this side, and of this handshake.
    pub fn is_proven(&self, key: &PeerKey, side: Side, proof: &[u8]) -> bool {
        hmac::verify(&key.0, &self.text(side), proof).is_ok()
    }

    /// What is signed. Every part is as long as it says, so that no two handshakes have the same text.
    fn text(&self, side: Side) -> Vec<u8> {
        let side: &[u8] = match side {
            Side::Caller => b"caller",
            Side::Server => b"server",
        };
        let version = VERSION.to_be_bytes();
        let mut text = Vec::with_capacity(256);
        for part in [
            side,
            version.as_slice(),
            self.caller.as_bytes(),
            self.server.as_bytes(),
            &self.caller_nonce,
            &self.server_nonce,
        ] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        text
    }
}

/// Reads a nonce.
pub fn nonce(bytes: &[u8]) -> Option<Nonce> {
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake {
            caller: "a".to_owned(),
            server: "b".to_owned(),
            caller_nonce: [1; NONCE_LENGTH],
            server_nonce: [2; NONCE_LENGTH],
        }
    }

    #[test]
    fn a_proof_is_of_one_side_of_one_handshake() {
        let (key, own) = (PeerKey::of(b"secret"), handshake());
        let proof = own.prove(&key, Side::Caller);
        assert!(own.is_proven(&key, Side::Caller, &proof));
        assert!(!own.is_proven(&key, Side::Server, &proof), "sent back to who made it");
        assert!(!own.is_proven(&PeerKey::of(b"other"), Side::Caller, &proof), "another secret");
        for other in [
            Handshake { caller: "c".to_owned(), ..own.clone() },
            Handshake { server: "c".to_owned(), ..own.clone() },
            Handshake { caller_nonce: [3; NONCE_LENGTH], ..own.clone() },
            Handshake { server_nonce: [3; NONCE_LENGTH], ..own.clone() },
            Handshake { caller: "b".to_owned(), server: "a".to_owned(), ..own.clone() },
            // The same letters, cut elsewhere.
            Handshake { caller: "ab".to_owned(), server: String::new(), ..own.clone() },
        ] {
            assert!(!other.is_proven(&key, Side::Caller, &proof), "{other:?}");
        }
        assert!(
            !own.is_proven(&key, Side::Caller, &proof[1..])
                && !own.is_proven(&key, Side::Caller, b"")
        );
    }
}
