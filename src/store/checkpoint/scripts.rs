//! The Lua scripts that move a checkpoint in Redis from one whole state to the next.
//!
//! Redis runs each without interruption. A script that timed out may still run later, after others,
//! so each compares marks first and may run twice. Marks are fixed-width decimal text and so compare
//! as text; Lua's numbers lose integers beyond 2^53. Marks of two journals cannot be compared: a
//! shard's hash names its journal, and another journal's hash is not touched.

use super::error::CheckpointError;
use super::mark::Mark;
use crate::store::journal::JournalId;
use redis::Script;
use std::sync::LazyLock;

/// The functions that several scripts share.
///
/// `refusal` returns the answer to a write that must not happen, or nothing. A malformed mark, or a
/// malformed journal's identity, counts as no checkpoint, so that writing everything repairs it.
const SHARED: &str = r"
local function refusal(shard, mark, base, journal)
    local stored, owner = unpack(redis.call('HMGET', shard, 'mark', 'journal'))
    if stored and not string.find(stored, '^%d+%-%d+$') then stored = false end
    if owner and not string.find(owner, '^' .. string.rep('[0-9a-f]', 16) .. '$') then
        owner = false
    end
    if owner and owner ~= journal then return {'foreign', owner} end
    if not owner then stored = false end
    if stored and stored > mark then return {'stale', stored} end
    if base ~= '' and (not stored or stored < base) then return {'base missing', stored or ''} end
    if base ~= '' and redis.call('HEXISTS', shard, 'overlay') == 1 then
        return {'overlay', stored}
    end
end

-- A field without content takes away what is there.
local function set_field(shard, name, content)
    if content == '' then
        redis.call('HDEL', shard, name)
    else
        redis.call('HSET', shard, name, content)
    end
end

local function set_mark(shard, mark, journal, header, items, chunks)
    for name, count in pairs({item_count = tonumber(items), chunk_count = tonumber(chunks)}) do
        local before = tonumber(redis.call('HGET', shard, name) or 0) or 0
        redis.call('HSET', shard, name, string.format('%d', math.max(before, count)))
    end
    redis.call('HSET', shard, 'mark', mark, 'journal', journal, 'header', header)
end

-- A product's counters. One that is sold in several sales shows the item that changed last.
local function set_products(first_key, first_argument)
    local argument = first_argument
    for key = first_key, #KEYS do
        local seq = redis.call('HGET', KEYS[key], 'seq')
        if not seq or (tonumber(seq) or 0) <= tonumber(ARGV[argument + 5]) then
            redis.call('HSET', KEYS[key],
                'item_id', ARGV[argument], 'sale_id', ARGV[argument + 1],
                'sale_stock_amount', ARGV[argument + 2],
                'locked_stock_amount', ARGV[argument + 3],
                'saled_stock_amount', ARGV[argument + 4],
                'seq', ARGV[argument + 5])
        end
        argument = argument + 6
    end
end
";

/// KEYS shard, overlay, products…; ARGV mark, base or empty, journal, header, items, chunks, number
/// of fields, then name and content of each field, then six values per product. Writes one increment,
/// or everything, at once.
const WRITE: &str = r"
local refused = refusal(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
if ARGV[2] == '' then redis.call('UNLINK', KEYS[1], KEYS[2]) end
local after_fields = 8 + 2 * tonumber(ARGV[7])
for argument = 8, after_fields - 1, 2 do
    set_field(KEYS[1], ARGV[argument], ARGV[argument + 1])
end
set_mark(KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
set_products(3, after_fields)
return {'stored', ARGV[1]}
";

/// KEYS shard, overlay, staging; ARGV mark, base or empty, journal, header, items, chunks, fields
/// staged. Makes a staged increment current.
const PROMOTE: &str = r"
local refused = refusal(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
if redis.call('HLEN', KEYS[3]) ~= tonumber(ARGV[7]) then return {'lost', ''} end
if ARGV[2] == '' then
    redis.call('UNLINK', KEYS[1], KEYS[2])
    redis.call('RENAME', KEYS[3], KEYS[1])
    redis.call('PERSIST', KEYS[1])
else
    redis.call('UNLINK', KEYS[2])
    redis.call('RENAME', KEYS[3], KEYS[2])
    redis.call('PERSIST', KEYS[2])
    redis.call('HSET', KEYS[1], 'overlay', '1')
end
set_mark(KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
return {'stored', ARGV[1]}
";

/// KEYS shard, overlay; ARGV cursor, fields to look at. Answers the next cursor, 0 at the end, or
/// nothing if the overlay is lost.
const FOLD: &str = r"
if redis.call('HEXISTS', KEYS[1], 'overlay') == 0 then return '0' end
if redis.call('EXISTS', KEYS[2]) == 0 then return false end
local reply = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local fields = reply[2]
for place = 1, #fields, 2 do
    set_field(KEYS[1], fields[place], fields[place + 1])
    redis.call('HDEL', KEYS[2], fields[place])
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('HDEL', KEYS[1], 'overlay')
    return '0'
end
return reply[1]
";

/// KEYS products…; ARGV six values per product. Writes their counters.
const PRODUCTS: &str = r"
set_products(1, 1)
return 'OK'
";

/// Writes an increment, or everything, at once.
pub(super) static WRITE_SCRIPT: LazyLock<Script> = LazyLock::new(|| script(WRITE));
/// Makes an increment current that was staged in many commands.
pub(super) static PROMOTE_SCRIPT: LazyLock<Script> = LazyLock::new(|| script(PROMOTE));
/// Moves some fields of the overlay into the main hash.
pub(super) static FOLD_SCRIPT: LazyLock<Script> = LazyLock::new(|| script(FOLD));
/// Writes products' counters alone, after an increment that was staged.
pub(super) static PRODUCTS_SCRIPT: LazyLock<Script> = LazyLock::new(|| script(PRODUCTS));

fn script(code: &str) -> Script {
    Script::new(&format!("{SHARED}{code}"))
}

/// What a writing script answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The increment is stored.
    Stored,
    /// A later mark is stored.
    Stale { stored: Mark },
    /// What the increment builds on is not stored.
    BaseMissing { stored: Option<Mark> },
    /// An earlier increment is still an overlay, which has to be folded first.
    Unfolded { stored: Option<Mark> },
    /// The checkpoint is another journal's.
    Foreign { owner: JournalId },
}

impl Answer {
    /// Reads a script's answer: a word, and a mark or a journal's identity.
    pub(super) fn parse((word, detail): (String, String)) -> Result<Self, CheckpointError> {
        let stored = parse_mark(&detail);
        match (word.as_str(), stored, detail.parse()) {
            ("stored", _, _) => Ok(Self::Stored),
            ("stale", Some(stored), _) => Ok(Self::Stale { stored }),
            ("base missing", stored, _) => Ok(Self::BaseMissing { stored }),
            ("overlay", stored, _) => Ok(Self::Unfolded { stored }),
            ("foreign", _, Ok(owner)) => Ok(Self::Foreign { owner }),
            _ => Err(CheckpointError::Unavailable(format!("answered {word}"))),
        }
    }
}

/// A mark as scripts compare it: twenty digits are enough for 64 bits, and texts of equal length
/// compare like their numbers.
pub(super) fn mark_text(mark: Mark) -> String {
    format!("{:020}-{:020}", mark.epoch, mark.seq)
}

/// Reads a mark from its text.
pub(super) fn parse_mark(text: &str) -> Option<Mark> {
    let (epoch, seq) = text.split_once('-')?;
    Some(Mark { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
}
