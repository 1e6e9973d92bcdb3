//! The algorithms that another issuer may sign with, as a setting names them.

/// How a token of another issuer may be signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureAlgorithm {
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// EdDSA on the curve Ed25519.
    EdDsa,
}

/// Returns the algorithms of a text such as `RS256 ES256`; none if it is no such text, or names none.
pub fn algorithms(text: &str) -> Option<Vec<SignatureAlgorithm>> {
    let algorithms: Option<Vec<_>> = text
        .split_ascii_whitespace()
        .map(|name| match name {
            "RS256" => Some(SignatureAlgorithm::Rs256),
            "ES256" => Some(SignatureAlgorithm::Es256),
            "EdDSA" => Some(SignatureAlgorithm::EdDsa),
            _ => None,
        })
        .collect();
    algorithms.filter(|algorithms| !algorithms.is_empty())
}
