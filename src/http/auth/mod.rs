//! Who calls: bearer tokens, what they say, and the passwords that buyers get them for.

pub mod bearer;
pub mod ended;
pub mod operator_name;
pub mod password;
pub mod token;
