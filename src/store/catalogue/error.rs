//! What can go wrong with the catalogue.

use crate::store::database::{ConnectionFault, StoreError};
use domain::StepRefused;
use domain::catalogue::DraftProblem;

/// Why the catalogue did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogueError {
    /// There is no such sale.
    #[error("no such sale")]
    SaleNotFound,
    /// The sale's status or an approval rule forbids the step.
    #[error(transparent)]
    Refused(#[from] StepRefused),
    /// The sale is past its draft, so it is neither edited nor deleted.
    #[error("only a draft can be changed")]
    Frozen,
    /// The sale is not at the revision from which the change was made.
    #[error("the sale is at revision {present}: look at it, and send its ETag in If-Match")]
    OtherRevision {
        /// The sale's revision.
        present: u64,
    },
    /// The sale's content was changed since it was made, and the change does not say from which
    /// revision it was made.
    #[error("the sale was edited: send the ETag of the revision you mean in If-Match")]
    RevisionUnsaid {
        /// The sale's revision.
        present: u64,
    },
    /// The request id belongs to another request.
    #[error("this Idempotency-Key was used for another request: use a new one")]
    KeyReused,
    /// Another operator changed the sale meanwhile: the caller has to read it again.
    #[error("the sale was changed meanwhile")]
    ChangedMeanwhile,
    /// Another user has this name; upper and lower case count as equal.
    #[error("the name is taken")]
    NameTaken,
    /// The account was changed since the link was made.
    #[error("the link was used, or the account was changed since it was made: ask for another")]
    LinkUsed,
    /// The account is disabled.
    #[error("the account is disabled")]
    OperatorDisabled,
    /// It is the account of the one who would disable it.
    #[error("nobody disables their own account: another admin does, or `seckill operator disable`")]
    OwnAccount,
    /// There is no account of this name.
    #[error("there is no such account")]
    OperatorNotFound,
    /// There are as many accounts as there can be.
    #[error("there are as many accounts as there can be")]
    TooManyOperators,
    /// As many pictures are kept as there may be.
    #[error("no more pictures can be kept")]
    TooManyPictures,
    /// Fields are out of range: which, and what they may be.
    #[error("{} invalid fields", .0.len())]
    Invalid(Vec<DraftProblem>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CatalogueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ConnectionFault for CatalogueError {
    fn is_connection_fault(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}
