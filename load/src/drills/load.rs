//! How many buyers come in a drill, and how patient they are.

use std::time::Duration;

/// The load of a batch of buyers.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests a second; none for as many as are answered.
    pub rate: Option<f64>,
    /// For how long.
    pub seconds: f64,
    /// How long a buyer waits for an answer.
    pub timeout: Duration,
    /// How often a buyer repeats.
    pub repeats: u8,
    /// Connections.
    pub connections: u32,
    /// Each buyer comes once.
    pub distinct: bool,
    /// Buyers neither pay nor cancel what they have.
    pub keep: bool,
}

impl Load {
    /// So many requests a second for so long, by patient people.
    #[must_use]
    pub fn of(rate: f64, seconds: f64) -> Self {
        let timeout = Duration::from_secs(5);
        Self {
            rate: Some(rate),
            seconds,
            timeout,
            repeats: 12,
            connections: 32,
            distinct: false,
            keep: false,
        }
    }

    /// As many as are answered over so many connections.
    #[must_use]
    pub fn full(connections: u32, seconds: f64) -> Self {
        Self { rate: None, connections, ..Self::of(0.0, seconds) }
    }
}
