//! Why a token of another issuer is not accepted, in words for those who connect a mall.

/// Why a token is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejected {
    /// It is not of the form of a signed token, or longer than 8 KiB.
    #[error("the token is not a signed one of at most 8 KiB")]
    Form,
    /// It was signed in a way that is not accepted.
    #[error("the token's algorithm is not one that is accepted")]
    Algorithm,
    /// Its header has extensions that must be understood.
    #[error("the token has critical extensions, and none is understood")]
    Critical,
    /// It is made for something else than to say who calls.
    #[error("the token is of another kind than one of access or identity")]
    Kind,
    /// Another issuer made it.
    #[error("the token's issuer is not the one whose users this shop serves")]
    Issuer,
    /// It is made for another server.
    #[error("the token is for another audience")]
    Audience,
    /// It names nobody.
    #[error("the token's subject is not a text of 1 to 255 bytes")]
    Subject,
    /// It says no time at which it ends, or times that are none.
    #[error("the token's times are not seconds since 1970, or exp is missing")]
    Times,
    /// It was valid until its expiry.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// No key of the issuer fits it.
    #[error("the issuer has no key of this name and type")]
    Key,
    /// The issuer's key did not sign it.
    #[error("the token is not valid")]
    Signature,
    /// The operator whom it names cannot be one.
    #[error("the token's operator has no name that can be one")]
    OperatorName,
}
