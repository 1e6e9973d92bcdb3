//! Different visitors, counted in Redis, where several processes count together.
//!
//! `seckill::visitors::{subject}` is a HyperLogLog, as of Redis 2.8.9, that expires after eight days.

use crate::store::redis_connection::{RedisConnection, RedisFailure};
use redis::pipe;

/// How long a count is kept after its last visitor.
const LIFE_SECONDS: i64 = 8 * 86_400;

/// Adds visitors in one command, and returns how many there are, about.
pub(super) async fn add(
    redis: &RedisConnection,
    subject: &str,
    visitors: &[u64],
) -> Result<u64, RedisFailure> {
    let key = format!("seckill::visitors::{subject}");
    let mut pipeline = pipe();
    if !visitors.is_empty() {
        pipeline.pfadd(&key, visitors).ignore();
        pipeline.expire(&key, LIFE_SECONDS).ignore();
    }
    pipeline.pfcount(&key);
    let (count,): (u64,) = redis.run(&pipeline).await?;
    Ok(count)
}
