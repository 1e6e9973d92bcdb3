//! The figures that have a history: their names, and how a minute is made of seconds.
//!
//! Must not know where a figure comes from.

/// How one value is made of several that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fold {
    /// Their mean: for what is counted a second.
    Mean,
    /// The highest: for what must not hide between two points.
    Highest,
    /// The last: for what only grows.
    Last,
}

/// Declares each series with its name and its fold.
macro_rules! series {
    ($($(#[$about:meta])* $variant:ident $name:literal $fold:ident;)*) => {
        /// A figure that is sampled each second.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Series { $($(#[$about])* $variant,)* }

        impl Series {
            /// Every series, in the order of their places in a sample.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in what is sent to a page.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How a minute of it is made of seconds.
            pub fn fold(self) -> Fold {
                match self { $(Self::$variant => Fold::$fold,)* }
            }
        }
    };
}

series! {
    /// Purchases answered a second.
    Requests "requests" Mean;
    /// Purchases that reached a shard's decision, a second.
    Admitted "admitted" Mean;
    /// Orders placed a second.
    Placed "placed" Mean;
    /// Answers a second with the order that the same request got before.
    Replayed "replayed" Mean;
    /// Refusals a second because nothing was left.
    SoldOut "sold_out" Mean;
    /// Refusals a second because the buyer had as many as one may.
    Limited "limited" Mean;
    /// Refusals a second because the sale had not begun.
    Early "early" Mean;
    /// Refusals a second because the sale was over or paused.
    Closed "closed" Mean;
    /// Refusals a second because there was too much to do, or too much was asked.
    Shed "shed" Mean;
    /// Refusals a second for any other reason.
    OtherRefusals "other_refusals" Mean;
    /// Orders paid a second.
    Paid "paid" Mean;
    /// Orders given up a second.
    Cancelled "cancelled" Mean;
    /// Orders that expired a second.
    Expired "expired" Mean;
    /// Challenges given out a second.
    Challenges "challenges" Mean;
    /// Buy tokens given out a second.
    Tokens "tokens" Mean;
    /// Requests a second for a buy token or a challenge that were refused.
    TokensRefused "tokens_refused" Mean;
    /// Half of the purchases took less, in milliseconds.
    P50 "p50" Highest;
    /// Nine of ten purchases took less, in milliseconds.
    P90 "p90" Highest;
    /// 99 of 100 purchases took less, in milliseconds.
    P99 "p99" Highest;
    /// 999 of 1,000 purchases took less, in milliseconds.
    P999 "p999" Highest;
    /// Requests that wait in the mailboxes.
    MailboxDepth "mailbox_depth" Highest;
    /// What 99 of 100 batches waited less than in their mailbox, in milliseconds.
    MailboxWait "mailbox_wait" Highest;
    /// Requests of a batch on average.
    MailboxBatch "mailbox_batch" Mean;
    /// Requests in the engine.
    Permits "permits" Highest;
    /// Half of the journal's syncs took less, in milliseconds.
    SyncP50 "sync_p50" Highest;
    /// 99 of 100 of the journal's syncs took less, in milliseconds.
    SyncP99 "sync_p99" Highest;
    /// The longest of the journal's syncs, in milliseconds.
    SyncMax "sync_max" Highest;
    /// Records made durable a second.
    Records "records" Mean;
    /// Syncs of the journal a second.
    Syncs "syncs" Mean;
    /// Records not yet in the order store.
    Backlog "backlog" Highest;
    /// The age of the oldest of them, in seconds.
    BacklogAge "backlog_age" Highest;
    /// The age of the checkpoints, in seconds.
    CheckpointAge "checkpoint_age" Highest;
    /// Open connections of clients.
    Connections "connections" Highest;
    /// Other requests answered a second.
    OtherRequests "other_requests" Mean;
    /// Memory that the process holds, in MB.
    Memory "memory" Highest;
    /// Processor time used, in percent of one core.
    Processor "processor" Mean;
    /// Pages viewed a second.
    Views "views" Mean;
    /// Different visitors so far, about.
    Visitors "visitors" Last;
    /// Dependencies that do not work.
    Unhealthy "unhealthy" Highest;
    /// How far the wall clock is from the sale's, in seconds.
    Drift "drift" Last;
}

/// The number of series.
pub const SERIES: usize = Series::ALL.len();

/// The values of all series at one second; what is not known is not a number.
pub type Values = [f32; SERIES];

/// The values when nothing is known.
pub const UNKNOWN: Values = [f32::NAN; SERIES];
