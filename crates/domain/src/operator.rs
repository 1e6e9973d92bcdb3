//! What operators may do: roles, of which one person can have several.
//!
//! Must not know how a role is proved, nor which page or request asks for which.

use std::fmt;
use std::str::FromStr;

/// What an operator may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum OperatorRole {
    /// Looks at everything and changes nothing: for a screen on the wall.
    Viewer = 1,
    /// Writes and runs sales.
    Operator = 2,
    /// Is an operator who may also approve sales that another one submitted.
    Approver = 4,
    /// Gives, takes and restores the others' accounts, and changes rules and settings.
    Admin = 8,
}

/// The text is no role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a role is viewer, operator, approver or admin")]
pub struct InvalidRole;

impl OperatorRole {
    /// Those who see limits, risk rules and lists, webhooks, and the operators' log: who runs sales stands in
    /// front of them, and an admin changes them.
    pub const READERS: &[Self] = &[Self::Operator, Self::Admin];

    /// All roles, the one that may least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for OperatorRole {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(InvalidRole)
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The roles that one person has. Its text form is their names with blanks between them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct OperatorRoles(u8);

impl OperatorRoles {
    /// Whether they allow what `role` allows: every role may look, and an approver is an operator.
    pub fn allow(self, role: OperatorRole) -> bool {
        let enough = match role {
            OperatorRole::Viewer => u8::MAX,
            OperatorRole::Operator => OperatorRole::Operator as u8 | OperatorRole::Approver as u8,
            OperatorRole::Approver | OperatorRole::Admin => role as u8,
        };
        self.0 & enough != 0
    }

    /// Whether they allow what one of `roles` allows.
    pub fn allow_any(self, roles: &[OperatorRole]) -> bool {
        roles.iter().any(|role| self.allow(*role))
    }

    /// Returns the roles themselves, the one that may least first.
    pub fn iter(self) -> impl Iterator<Item = OperatorRole> {
        OperatorRole::ALL.into_iter().filter(move |role| self.0 & *role as u8 != 0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<OperatorRole> for OperatorRoles {
    fn from_iter<I: IntoIterator<Item = OperatorRole>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |all, role| all | role as u8))
    }
}

impl From<OperatorRole> for OperatorRoles {
    fn from(role: OperatorRole) -> Self {
        Self(role as u8)
    }
}

impl FromStr for OperatorRoles {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let roles: Self =
            text.split(' ').map(str::parse::<OperatorRole>).collect::<Result<_, _>>()?;
        if roles.is_empty() { Err(InvalidRole) } else { Ok(roles) }
    }
}

impl fmt::Display for OperatorRoles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, role) in self.iter().enumerate() {
            if place > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(role.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OperatorRole::{Admin, Approver, Operator, Viewer};

    #[test]
    fn every_role_looks_and_an_approver_operates() {
        for (roles, allowed) in [
            (&[Viewer][..], &[Viewer][..]),
            (&[Operator], &[Viewer, Operator]),
            (&[Approver], &[Viewer, Operator, Approver]),
            (&[Admin], &[Viewer, Admin]),
            (&[Operator, Admin], &[Viewer, Operator, Admin]),
            (&[], &[]),
        ] {
            let roles: OperatorRoles = roles.iter().copied().collect();
            let found: Vec<_> =
                OperatorRole::ALL.into_iter().filter(|role| roles.allow(*role)).collect();
            assert_eq!(found, allowed, "{roles}");
        }
    }

    #[test]
    fn their_text_is_their_names() {
        for text in ["viewer", "operator", "approver admin", "viewer operator approver admin"] {
            assert_eq!(
                text.parse::<OperatorRoles>().map(|roles| roles.to_string()),
                Ok(text.into())
            );
        }
        let turned: OperatorRoles = "admin approver".parse().expect("roles");
        assert_eq!(turned.to_string(), "approver admin");
        for text in ["", " ", "root", "admin  viewer", "Admin"] {
            assert_eq!(text.parse::<OperatorRoles>(), Err(InvalidRole), "{text:?}");
        }
    }
}
