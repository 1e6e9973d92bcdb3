//! One-time links, by which operators get an account or a new password.
//!
//! A link is a MAC over name, roles and times, made with the secret that signs tokens, so no store keeps
//! it and a command line makes one without a database. It is good once, because the account that it
//! changes says when it was changed last. Must not know where it is accepted.

use crate::http::auth::operator_name;
use crate::http::auth::token::Signer;
use domain::{OperatorRoles, Timestamp};

/// How long a link is good.
pub const LIFETIME_MILLISECONDS: u64 = 15 * 60_000;
/// What the seal of a link is for.
const PURPOSE: &str = "operator link";
/// The path of the page that accepts a link. The code stands behind it as the fragment, which no browser
/// sends, no server logs, and no preview of a link asks for.
const PATH: &str = "/console/accept";

/// What a link says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// The name of the operator, in its canonical form.
    pub name: String,
    /// What the operator will be allowed to do.
    pub roles: OperatorRoles,
    /// When the link was made.
    pub issued_at: Timestamp,
}

/// Why a link is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// It was not made with this shop's secret, or not copied whole.
    #[error("the code is not one of this shop, or was not copied whole")]
    Invalid,
    /// It was made too long ago.
    #[error("the link has expired: ask for another")]
    Expired,
}

/// Returns the code of a link for this name, which has to be canonical.
pub fn code(signer: &Signer, name: &str, roles: OperatorRoles, now: Timestamp) -> String {
    let expires_at = now.plus_milliseconds(LIFETIME_MILLISECONDS);
    signer.seal(PURPOSE, &format!("{name}|{roles}|{}|{}", now.0, expires_at.0))
}

/// Returns the link of a code, at the origin `base` such as `http://127.0.0.1:8080`.
pub fn url(base: &str, code: &str) -> String {
    format!("{base}{PATH}#{code}")
}

/// Reads a code, or the whole link that was pasted in its place.
///
/// # Errors
/// Returns [`LinkError`] if it is none, or not good any more.
pub fn read(signer: &Signer, pasted: &str, now: Timestamp) -> Result<Invitation, LinkError> {
    let pasted = pasted.trim();
    let code = pasted.rsplit_once('#').map_or(pasted, |(_, code)| code);
    let text = signer.open(PURPOSE, code).ok_or(LinkError::Invalid)?;
    // The name may have the sign between the fields, so they are read from behind.
    let mut fields = text.rsplitn(4, '|');
    let mut field = || fields.next().ok_or(LinkError::Invalid);
    let (expires_at, issued_at, roles, name) = (field()?, field()?, field()?, field()?);
    let instant = |text: &str| text.parse().map(Timestamp).map_err(|_| LinkError::Invalid);
    let (issued_at, expires_at) = (instant(issued_at)?, instant(expires_at)?);
    if now >= expires_at {
        return Err(LinkError::Expired);
    }
    let name = operator_name::canonical(name).map_err(|_| LinkError::Invalid)?;
    let roles = roles.parse().map_err(|_| LinkError::Invalid)?;
    Ok(Invitation { name, roles, issued_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::token::Role;
    use domain::OperatorRole;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn signer(byte: u8) -> Signer {
        Signer::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_link_says_who_it_is_for_until_it_expires() {
        let roles: OperatorRoles = "approver admin".parse().unwrap();
        for name in ["eva", "王伟", "a|b|1"] {
            let code = code(&signer(7), name, roles, NOW);
            let last = NOW.plus_milliseconds(LIFETIME_MILLISECONDS - 1);
            let expected = Invitation { name: name.to_owned(), roles, issued_at: NOW };
            let link = url("http://127.0.0.1:8080", &code);
            assert_eq!(link, format!("http://127.0.0.1:8080/console/accept#{code}"));
            for pasted in [code.as_str(), link.as_str(), &format!(" {link}\n")] {
                assert_eq!(read(&signer(7), pasted, last), Ok(expected.clone()), "{pasted}");
            }
            let over = NOW.plus_milliseconds(LIFETIME_MILLISECONDS);
            assert_eq!(read(&signer(7), &code, over), Err(LinkError::Expired));
            assert_eq!(read(&signer(8), &code, NOW), Err(LinkError::Invalid));
        }
    }

    #[test]
    fn nothing_else_is_a_link() {
        let signer = signer(7);
        let token = signer.mint("eva", Role::Operator, NOW, 60);
        let session = signer.seal("console session", "eva|operator|1|9999999999999");
        let roleless = signer.seal(PURPOSE, "eva||1|9999999999999");
        let roles = OperatorRole::Viewer.into();
        let code = code(&signer, "eva", roles, NOW);
        for wrong in ["", "#", &token, &session, &roleless, &code[1..], &code[..code.len() - 1]] {
            assert_eq!(read(&signer, wrong, NOW), Err(LinkError::Invalid), "{wrong:?}");
        }
    }
}
