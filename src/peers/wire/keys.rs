//! How idempotency keys travel: a buyer's number and a request's, in turn.

use crate::peers::orders::Malformed;
use crate::peers::proto;
use domain::{RequestId, UserId};

/// Keys that are told at once, of 16 bytes each: they hold up what else a link carries for less than a millisecond.
pub const KEYS_MAX: usize = 4_096;

/// Puts keys into a message.
pub(super) fn encode_keys(keys: &[(UserId, RequestId)]) -> proto::Keys {
    let pairs = keys.iter().flat_map(|(user_id, request_id)| [user_id.0, request_id.0]);
    proto::Keys { keys: pairs.collect() }
}

/// Reads keys.
///
/// # Errors
/// Returns [`Malformed`] if there are too many of them, or a half.
pub(super) fn decode_keys(keys: &proto::Keys) -> Result<Vec<(UserId, RequestId)>, Malformed> {
    let (pairs, []) = keys.keys.as_chunks::<2>() else { return Err(Malformed("half a key")) };
    if pairs.len() > KEYS_MAX {
        return Err(Malformed("too many keys"));
    }
    Ok(pairs.iter().map(|[user, request]| (UserId(*user), RequestId(*request))).collect())
}
