//! What a buyer solves before a buy token is given out: which challenge it has to be, and whether it was
//! solved.
//!
//! Must not know the routes.

pub mod external;
pub mod proof;

use super::auth::token::Signer;
use super::problem::{Code, Problem};
use arc_swap::ArcSwap;
use domain::{Challenge, ItemId, Timestamp, UserId};
use external::{External, NoVerdict, Shown, Verdict};
use proof::{Difficulty, Proof, SignedChallenge, Unverified, Wrong};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Solutions that may wait to be verified; one more is answered 503.
const VERIFICATIONS_WAITING_MAX: usize = 256;
/// Digits of the prefix that are added for those from whom more is asked.
const HARDER: &str = "0";

/// What is done when the provider of a challenge gives no verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnError {
    /// A proof of work takes its place for as long as a challenge may take.
    Proof,
    /// Nobody gets a token.
    Refuse,
    /// Everybody gets one.
    Allow,
}

/// How buyers are challenged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChallengeOptions {
    /// How hard a proof of work is.
    pub difficulty: Difficulty,
    /// How long a challenge may take.
    pub lifetime: Duration,
    /// What is done when the provider gives no verdict.
    pub on_error: OnError,
}

impl Default for ChallengeOptions {
    fn default() -> Self {
        Self {
            difficulty: Difficulty { cost: 1_000, prefix: "00".to_owned() },
            lifetime: Duration::from_secs(300),
            on_error: OnError::Proof,
        }
    }
}

/// What a buyer has to solve for an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Which challenge it is.
    pub challenge: Challenge,
    /// Whether more is asked than usual.
    pub is_harder: bool,
}

impl Demand {
    /// What the item asks of everybody, and of those whom a risk rule names, at least a proof, which is
    /// harder.
    pub fn of(challenge: Challenge, is_harder: bool) -> Self {
        let challenge = match challenge {
            Challenge::None if is_harder => Challenge::Proof,
            challenge => challenge,
        };
        Self { challenge, is_harder }
    }
}

/// Who is challenged, for what.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The item to buy.
    pub item_id: ItemId,
    /// The buyer who asks.
    pub user_id: UserId,
}

/// A challenge as a buyer gets it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Given<'a> {
    /// A proof of work, in the form of the ALTCHA widget.
    Proof(SignedChallenge),
    /// What the page needs to show the provider's.
    External(Shown<'a>),
}

/// Gives out challenges and has solutions judged.
#[derive(Debug)]
pub struct Challenges {
    proof: Proof,
    external: Option<Arc<External>>,
    options: ArcSwap<ChallengeOptions>,
    queue: Semaphore,
    workers: Semaphore,
}

impl Challenges {
    /// Makes the challenges of this signer's secrets, and of a provider if there is one; so many proofs
    /// are verified at the same time.
    pub fn new(
        signer: &Signer,
        external: Option<Arc<External>>,
        options: &ChallengeOptions,
        verifications_max: usize,
    ) -> Self {
        Self {
            proof: Proof::new(signer),
            external,
            options: ArcSwap::from_pointee(options.clone()),
            queue: Semaphore::new(verifications_max + VERIFICATIONS_WAITING_MAX),
            workers: Semaphore::new(verifications_max),
        }
    }

    /// Changes how buyers are challenged. What was given out before counts until it expires, unless more is
    /// asked by now.
    pub fn set(&self, options: &ChallengeOptions) {
        self.options.store(Arc::new(options.clone()));
    }

    /// Returns the challenge to solve: a proof of work, unless the provider's is asked for and the
    /// provider works.
    pub fn give(&self, demand: Demand, subject: Subject, now: Timestamp) -> Given<'_> {
        match self.external() {
            Some(external) if demand.challenge == Challenge::External => {
                Given::External(external.shown())
            }
            _ => Given::Proof(self.proof(subject, demand.is_harder, now)),
        }
    }

    /// Judges what was sent as a solution. Returns what tells the solution from others, if one was asked
    /// for.
    ///
    /// # Errors
    /// Returns a problem if a challenge has to be solved and was not, or if it cannot be judged now.
    pub async fn check(
        &self,
        demand: Demand,
        subject: Subject,
        solution: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Problem> {
        if demand.challenge == Challenge::None {
            return Ok(None);
        }
        let Some(solution) = solution else {
            return Err(Problem::new(
                Code::ChallengeRequired,
                "solve what the item's challenge path gives out, and send it as challenge",
            ));
        };
        match &self.external {
            Some(external) if demand.challenge == Challenge::External => {
                self.check_external(external, demand, subject, solution, now).await
            }
            _ => self.check_proof(demand, subject, solution, now).await.map(Some),
        }
    }

    /// Returns the provider of challenges, if there is one.
    pub fn provider(&self) -> Option<&External> {
        self.external.as_deref()
    }

    /// How the provider of challenges is, if there is one: whether it gave verdicts lately, and what is
    /// done if it did not.
    pub fn provider_health(&self) -> Option<(bool, &'static str)> {
        let external = self.external.as_ref()?;
        if !self.is_ailing(external) {
            return Some((true, "buyers solve its challenges"));
        }
        Some((
            false,
            match self.on_error() {
                OnError::Proof => "it gave no verdict lately; buyers solve a proof of work instead",
                OnError::Refuse => "it gave no verdict lately; no buy tokens are given out then",
                OnError::Allow => "it gave no verdict lately; buy tokens are given out without one",
            },
        ))
    }

    /// The provider, unless a proof takes its place.
    fn external(&self) -> Option<&External> {
        let takes_place = self.on_error() == OnError::Proof;
        self.external.as_deref().filter(|external| !takes_place || !self.is_ailing(external))
    }

    /// Whether the provider has failed within the life of a challenge: so what was given out in its place
    /// counts until it expires.
    fn is_ailing(&self, external: &External) -> bool {
        external.failed_ago().is_some_and(|ago| ago < self.options.load().lifetime)
    }

    fn on_error(&self) -> OnError {
        self.options.load().on_error
    }

    async fn check_external(
        &self,
        external: &External,
        demand: Demand,
        subject: Subject,
        solution: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let proof_counts = self.on_error() == OnError::Proof && self.is_ailing(external);
        if proof_counts && proof::has_form(solution) {
            return self.check_proof(demand, subject, solution, now).await.map(Some);
        }
        match external.judge(solution).await {
            Ok(Verdict::Passed) => Ok(Some(solution.as_bytes().to_vec())),
            Ok(Verdict::Failed) => {
                Err(Problem::new(Code::ChallengeFailed, "the provider says that it is not solved"))
            }
            Err(reason) => self.without_verdict(&reason),
        }
    }

    fn without_verdict(&self, reason: &NoVerdict) -> Result<Option<Vec<u8>>, Problem> {
        tracing::warn!(%reason, "a challenge was not judged");
        match self.on_error() {
            OnError::Allow => Ok(None),
            OnError::Proof => Err(Problem::new(
                Code::ChallengeRequired,
                "the provider does not answer: get another challenge, which takes its place",
            )),
            OnError::Refuse => Err(Problem::new(
                Code::ChallengeUnavailable,
                "nothing was done: the challenge's provider does not answer",
            )),
        }
    }

    /// Returns what tells the solved challenge from others.
    async fn check_proof(
        &self,
        demand: Demand,
        subject: Subject,
        solution: &str,
        now: Timestamp,
    ) -> Result<Vec<u8>, Problem> {
        let difficulty = self.difficulty(demand.is_harder);
        let Subject { item_id, user_id } = subject;
        let claim =
            self.proof.read(solution, &difficulty, item_id, user_id, now).map_err(failed)?;
        let nonce = claim.nonce().to_vec();
        self.verify(claim).await?;
        Ok(nonce)
    }

    fn proof(&self, subject: Subject, is_harder: bool, now: Timestamp) -> SignedChallenge {
        let lifetime = u64::try_from(self.options.load().lifetime.as_millis()).unwrap_or(u64::MAX);
        let Subject { item_id, user_id } = subject;
        let difficulty = self.difficulty(is_harder);
        self.proof.challenge(&difficulty, item_id, user_id, now.plus_milliseconds(lifetime))
    }

    /// Derives the key of a claim, off the threads that serve requests and a bounded number at a time.
    async fn verify(&self, claim: Unverified) -> Result<(), Problem> {
        let overloaded =
            || Problem::new(Code::Overloaded, "nothing was done: too many solutions wait");
        let _place = self.queue.try_acquire().map_err(|_| overloaded())?;
        let _worker = self.workers.acquire().await.map_err(|_| overloaded())?;
        let verified = tokio::task::spawn_blocking(move || claim.verify()).await;
        verified.map_err(|_| overloaded())?.map_err(failed)
    }

    fn difficulty(&self, is_harder: bool) -> Difficulty {
        let mut difficulty = self.options.load().difficulty.clone();
        if is_harder {
            difficulty.prefix.push_str(HARDER);
        }
        difficulty
    }
}

fn failed(wrong: Wrong) -> Problem {
    let detail = match wrong {
        Wrong::Form => "this is not of the form of a solution",
        Wrong::Signature => "the challenge was not given out here, or was changed",
        Wrong::Subject => "the challenge was given out to another buyer, or for another item",
        Wrong::Expired => "the challenge has expired: get a new one",
        Wrong::Easy => "more is asked by now: get a new challenge",
        Wrong::Key => "this does not solve the challenge",
    };
    Problem::new(Code::ChallengeFailed, detail)
}
