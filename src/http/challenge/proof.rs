//! Proof of work: a challenge whose solution is dear to find and cheap to verify, in version 2 of the
//! format of the ALTCHA widget.
//!
//! The solver looks for a counter with which the derived key begins with a prefix:
//! PBKDF2-HMAC-SHA-256 of nonce and counter (u32, big-endian) with the salt, `cost` rounds. The challenge
//! names item and buyer, and its parameters are signed as canonical JSON, keys in alphabetical order: so
//! nothing is stored, and what comes back is what was given out. Must not know HTTP.

use crate::http::auth::token::Signer;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use domain::{ItemId, Timestamp, UserId};
use ring::{hmac, pbkdf2};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::num::NonZeroU32;

/// The longest solution that is read, in bytes.
pub const SOLUTION_BYTES_MAX: usize = 2_048;

const ALGORITHM: &str = "PBKDF2/SHA-256";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 16;
const KEY_LABEL: &[u8] = b"seckill proof of work";

/// Widgets pad, programs may not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How hard a challenge is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difficulty {
    /// Rounds of each attempt; at least 1.
    pub cost: u32,
    /// How the key has to begin, in hexadecimal digits: each more makes it 16 times as hard.
    pub prefix: String,
}

/// A challenge as its solver gets it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedChallenge {
    /// What is to be solved.
    pub parameters: Parameters,
    /// The MAC over the parameters, in hexadecimal digits.
    pub signature: String,
}

/// What is to be solved. In the alphabetical order of the keys, in which they are signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Parameters {
    /// The key derivation.
    pub algorithm: String,
    /// How many rounds it takes.
    pub cost: u32,
    /// Whom and what the challenge is for.
    pub data: Subject,
    /// From when a solution counts no more, in seconds since 1970.
    pub expires_at: u64,
    /// Bytes of the key.
    pub key_length: u32,
    /// How the key has to begin.
    pub key_prefix: String,
    /// What the counter is appended to, in hexadecimal digits.
    pub nonce: String,
    /// The salt, in hexadecimal digits.
    pub salt: String,
}

/// Whom and what a challenge is for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The item's identity.
    pub item: String,
    /// The buyer's identity.
    pub user: String,
}

#[derive(Deserialize)]
struct Payload {
    challenge: SignedChallenge,
    solution: Solution,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Solution {
    counter: u32,
    derived_key: String,
}

/// Why a solution is not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It is not of the form of a solution.
    Form,
    /// The challenge was not given out here, or was changed.
    Signature,
    /// The challenge was another buyer's, or another item's.
    Subject,
    /// The challenge has expired.
    Expired,
    /// The challenge is easier than it has to be by now.
    Easy,
    /// The key is not that of the counter, or does not begin as it has to.
    Key,
}

/// A solution of which all but the key is right.
#[derive(Debug)]
pub struct Unverified {
    parameters: Parameters,
    solved: Solved,
}

#[derive(Debug)]
struct Solved {
    counter: u32,
    derived_key: String,
}

/// Returns whether the text may be a solution at all, and not what a provider's script gives out.
pub fn has_form(text: &str) -> bool {
    BASE64.decode(text).is_ok_and(|json| json.starts_with(b"{"))
}

/// Makes challenges and judges solutions.
pub struct Proof {
    key: hmac::Key,
    previous: Option<hmac::Key>,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Proof")
    }
}

impl Proof {
    /// Makes the challenges of this signer's secrets.
    pub fn new(signer: &Signer) -> Self {
        // As text, which is what other implementations of the format take for a key.
        let key = |signer: &Signer| {
            let key = hex(&signer.derive(&[KEY_LABEL]));
            hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())
        };
        Self { key: key(signer), previous: signer.previous().map(key) }
    }

    /// Makes a challenge for the buyer of the item.
    pub fn challenge(
        &self,
        difficulty: &Difficulty,
        item_id: ItemId,
        user_id: UserId,
        expires_at: Timestamp,
    ) -> SignedChallenge {
        let parameters = Parameters {
            algorithm: ALGORITHM.to_owned(),
            cost: difficulty.cost,
            data: Subject { item: item_id.to_string(), user: user_id.to_string() },
            expires_at: expires_at.0 / 1000,
            key_length: KEY_BYTES as u32,
            key_prefix: difficulty.prefix.clone(),
            nonce: hex(&rand::random::<[u8; NONCE_BYTES]>()),
            salt: hex(&rand::random::<[u8; NONCE_BYTES]>()),
        };
        let signature = hex(hmac::sign(&self.key, &canonical(&parameters)).as_ref());
        SignedChallenge { parameters, signature }
    }

    /// Reads a solution, and judges all of it but its key.
    ///
    /// # Errors
    /// Returns what is [`Wrong`] with it.
    pub fn read(
        &self,
        text: &str,
        difficulty: &Difficulty,
        item_id: ItemId,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Unverified, Wrong> {
        if text.len() > SOLUTION_BYTES_MAX {
            return Err(Wrong::Form);
        }
        let json = BASE64.decode(text).map_err(|_| Wrong::Form)?;
        let Payload { challenge, solution } =
            serde_json::from_slice(&json).map_err(|_| Wrong::Form)?;
        let SignedChallenge { parameters, signature } = challenge;
        let tag: [u8; KEY_BYTES] = unhex(&signature).ok_or(Wrong::Signature)?;
        let canonical = canonical(&parameters);
        let is_of = |key: &hmac::Key| hmac::verify(key, &canonical, &tag).is_ok();
        if !is_of(&self.key) && !self.previous.as_ref().is_some_and(is_of) {
            return Err(Wrong::Signature);
        }
        let subject = Subject { item: item_id.to_string(), user: user_id.to_string() };
        if parameters.data != subject {
            return Err(Wrong::Subject);
        }
        if now.0 / 1000 >= parameters.expires_at {
            return Err(Wrong::Expired);
        }
        let is_hard = parameters.cost >= difficulty.cost
            && parameters.key_prefix.starts_with(&difficulty.prefix);
        if !is_hard {
            return Err(Wrong::Easy);
        }
        let Solution { counter, derived_key } = solution;
        Ok(Unverified { parameters, solved: Solved { counter, derived_key } })
    }
}

impl Unverified {
    /// What tells the challenge from others: the same for each of its solutions.
    pub fn nonce(&self) -> &[u8] {
        self.parameters.nonce.as_bytes()
    }

    /// Derives the key, which takes `cost` rounds, and judges it.
    ///
    /// # Errors
    /// Returns [`Wrong::Key`] if the key is not the one that was sent, or does not begin as it has to.
    pub fn verify(&self) -> Result<(), Wrong> {
        let derived = derive(&self.parameters, self.solved.counter).ok_or(Wrong::Form)?;
        let is_right =
            derived == self.solved.derived_key && derived.starts_with(&self.parameters.key_prefix);
        if is_right { Ok(()) } else { Err(Wrong::Key) }
    }
}

/// The key of a counter, in hexadecimal digits.
fn derive(parameters: &Parameters, counter: u32) -> Option<String> {
    let nonce: [u8; NONCE_BYTES] = unhex(&parameters.nonce)?;
    let salt: [u8; NONCE_BYTES] = unhex(&parameters.salt)?;
    let mut password = [0; NONCE_BYTES + 4];
    password[..NONCE_BYTES].copy_from_slice(&nonce);
    password[NONCE_BYTES..].copy_from_slice(&counter.to_be_bytes());
    let mut key = [0; KEY_BYTES];
    let cost = NonZeroU32::new(parameters.cost)?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, cost, &salt, &password, &mut key);
    Some(hex(&key))
}

fn canonical(parameters: &Parameters) -> Vec<u8> {
    // Texts and numbers always have a JSON form.
    serde_json::to_vec(parameters).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp(1_790_000_000_000);
    const EXPIRES_AT: Timestamp = Timestamp(1_790_000_300_000);
    const ITEM: ItemId = ItemId(7);
    const USER: UserId = UserId(9);

    fn proof(byte: u8) -> Proof {
        Proof::new(&Signer::new(&[byte; 32]).unwrap())
    }

    fn easy() -> Difficulty {
        Difficulty { cost: 2, prefix: "0".to_owned() }
    }

    /// The payload of the first counter that solves the challenge.
    fn solved(challenge: &SignedChallenge) -> Value {
        let found = (0..).find_map(|counter| {
            let key = derive(&challenge.parameters, counter).unwrap();
            key.starts_with(&challenge.parameters.key_prefix).then_some((counter, key))
        });
        let (counter, key) = found.unwrap();
        json!({
            "challenge": challenge,
            "solution": { "counter": counter, "derivedKey": key, "time": 1.5 },
        })
    }

    fn judge_at(proof: &Proof, payload: &Value, now: Timestamp) -> Result<Vec<u8>, Wrong> {
        let text = BASE64.encode(payload.to_string());
        let claim = proof.read(&text, &easy(), ITEM, USER, now)?;
        claim.verify().map(|()| claim.nonce().to_vec())
    }

    fn judge(proof: &Proof, payload: &Value) -> Result<Vec<u8>, Wrong> {
        judge_at(proof, payload, NOW)
    }

    #[test]
    fn a_solution_is_its_buyers_of_its_item_until_it_expires() {
        let proof = proof(7);
        let challenge = proof.challenge(&easy(), ITEM, USER, EXPIRES_AT);
        let payload = solved(&challenge);
        assert_eq!(judge(&proof, &payload), Ok(challenge.parameters.nonce.clone().into_bytes()));
        assert_eq!(judge(&proof, &payload), judge(&proof, &payload), "and the same each time");
        let unpadded = BASE64.encode(payload.to_string());
        let unpadded = unpadded.trim_end_matches('=');
        assert!(proof.read(unpadded, &easy(), ITEM, USER, NOW).is_ok());

        assert_eq!(judge_at(&proof, &payload, EXPIRES_AT), Err(Wrong::Expired));
        let other = proof.challenge(&easy(), ItemId(8), USER, EXPIRES_AT);
        assert_eq!(judge(&proof, &solved(&other)), Err(Wrong::Subject));
        let other = proof.challenge(&easy(), ITEM, UserId(8), EXPIRES_AT);
        assert_eq!(judge(&proof, &solved(&other)), Err(Wrong::Subject));
        let foreign = super::tests::proof(8).challenge(&easy(), ITEM, USER, EXPIRES_AT);
        assert_eq!(judge(&proof, &solved(&foreign)), Err(Wrong::Signature));
        let renewed = Signer::new(&[8; 32]).unwrap().with_previous(&[7; 32]).unwrap();
        assert!(judge(&Proof::new(&renewed), &payload).is_ok(), "the secret of before counts");
    }

    #[test]
    fn the_right_key_without_the_prefix_is_no_solution() {
        let proof = proof(7);
        let challenge = proof.challenge(&easy(), ITEM, USER, EXPIRES_AT);
        let wrong = (0..)
            .find(|counter| !derive(&challenge.parameters, *counter).unwrap().starts_with('0'));
        let counter = wrong.unwrap();
        let key = derive(&challenge.parameters, counter).unwrap();
        let mut payload = solved(&challenge);
        payload["solution"] = json!({ "counter": counter, "derivedKey": key });
        assert_eq!(judge(&proof, &payload), Err(Wrong::Key));
        // Nor is a key of that form that the counter does not have.
        let mut payload = solved(&challenge);
        payload["solution"]["derivedKey"] = json!(format!("0{}", "f".repeat(63)));
        assert_eq!(judge(&proof, &payload), Err(Wrong::Key));
    }

    #[test]
    fn no_parameter_can_be_edited_added_or_left_out() {
        let proof = proof(7);
        let payload = solved(&proof.challenge(&easy(), ITEM, USER, EXPIRES_AT));
        for (name, value) in [
            ("algorithm", json!("SHA-256")),
            ("cost", json!(1)),
            ("expiresAt", json!(1_990_000_000)),
            ("keyLength", json!(1)),
            ("keyPrefix", json!("")),
            ("nonce", json!("00".repeat(16))),
            ("salt", json!("00".repeat(16))),
            ("data", json!({ "item": "7", "user": "10" })),
        ] {
            let mut edited = payload.clone();
            edited["challenge"]["parameters"][name] = value;
            assert_eq!(judge(&proof, &edited), Err(Wrong::Signature), "{name}");
            let mut less = payload.clone();
            less["challenge"]["parameters"].as_object_mut().unwrap().remove(name);
            assert_eq!(judge(&proof, &less), Err(Wrong::Form), "{name}");
        }
        let mut more = payload.clone();
        more["challenge"]["parameters"]["keySignature"] = json!("00");
        assert_eq!(judge(&proof, &more), Err(Wrong::Form));
        let mut unsigned = payload.clone();
        unsigned["challenge"]["signature"] = json!("");
        assert_eq!(judge(&proof, &unsigned), Err(Wrong::Signature));
        for text in ["", "e30=", "bm90IGpzb24=", "!", &"A".repeat(SOLUTION_BYTES_MAX + 1)] {
            assert_eq!(proof.read(text, &easy(), ITEM, USER, NOW).err(), Some(Wrong::Form));
        }
    }

    #[test]
    fn a_challenge_from_before_it_got_harder_is_too_easy() {
        let proof = proof(7);
        let payload = solved(&proof.challenge(&easy(), ITEM, USER, EXPIRES_AT));
        let text = BASE64.encode(payload.to_string());
        for harder in
            [Difficulty { prefix: "00".to_owned(), ..easy() }, Difficulty { cost: 3, ..easy() }]
        {
            let read = proof.read(&text, &harder, ITEM, USER, NOW);
            assert_eq!(read.err(), Some(Wrong::Easy), "{harder:?}");
        }
    }

    #[test]
    fn what_it_makes_and_takes_is_the_format_of_others() {
        let proof = proof(7);
        let key = hex(&Signer::new(&[7; 32]).unwrap().derive(&[KEY_LABEL]));
        let challenge = proof.challenge(&easy(), ITEM, USER, EXPIRES_AT);
        let theirs: altcha::Challenge =
            serde_json::from_value(serde_json::to_value(&challenge).unwrap()).unwrap();
        let solution =
            altcha::solve_challenge(altcha::SolveChallengeOptions::new(&theirs)).unwrap().unwrap();
        let payload = json!({ "challenge": theirs, "solution": solution });
        assert!(judge(&proof, &payload).is_ok());
        // And what is solved here is a solution there, expiry aside, which they read off the clock.
        let far = Timestamp(4_000_000_000_000);
        let theirs: altcha::Payload =
            serde_json::from_value(solved(&proof.challenge(&easy(), ITEM, USER, far))).unwrap();
        let options = altcha::VerifySolutionOptions::new(&theirs.challenge, &theirs.solution, key);
        assert!(altcha::verify_solution(options).unwrap().verified);
    }
}
