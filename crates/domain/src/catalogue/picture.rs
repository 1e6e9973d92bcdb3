//! The name of a picture: the SHA-256 of its bytes, so that a picture never changes under its name.
//!
//! Must not know what a picture looks like, nor where it is kept.

use std::fmt;
use std::str::FromStr;

/// A picture's name: the SHA-256 of its bytes, written as 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PictureId(pub [u8; 32]);

impl PictureId {
    /// Digits of its text form.
    pub const DIGITS: usize = 64;
}

impl fmt::Display for PictureId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// The text is not 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the name of a picture: 64 hexadecimal digits in lower case")]
pub struct NotAPicture;

impl FromStr for PictureId {
    type Err = NotAPicture;

    fn from_str(text: &str) -> Result<Self, NotAPicture> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotAPicture),
        };
        let digits = text.as_bytes();
        if digits.len() != Self::DIGITS {
            return Err(NotAPicture);
        }
        let mut name = [0; 32];
        for (byte, pair) in name.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        let text = "00".repeat(30) + "9aff";
        let name: PictureId = text.parse().expect("a name");
        assert_eq!((name.0[30], name.0[31]), (0x9a, 0xff));
        assert_eq!(name.to_string(), text);
        let upper = text.to_uppercase();
        let umlaut = "ä".repeat(32);
        for other in ["", "00", &upper, &text[1..], &format!("{text}0"), &umlaut] {
            assert_eq!(other.parse::<PictureId>(), Err(NotAPicture), "{other}");
        }
    }
}
