//! The catalogue's plain values: a sale as an operator writes it, as it is stored, and as the
//! public sees it.
//!
//! Must not know how sales are stored, cached or shown; which step may be taken is
//! [`crate::approval`]'s to say.

mod day;
mod draft;
mod picture;
mod public;
mod sale;

pub use day::{Day, NotADay};
pub use draft::{
    DESCRIPTION_LENGTH_MAX, DraftProblem, ITEMS_PER_SALE_MAX, Offer, SaleDraft, TITLE_LENGTH_MAX,
    paragraphs_problem, text_problem,
};
pub use picture::{NotAPicture, PictureId};
pub use public::{PUBLIC_STATUSES, PublicItem, PublicSale, SaleList};
pub use sale::{Sale, SaleItem};
