//! When requests are meant to start: a pure function from a scenario's phases to
//! offsets in nanoseconds. The generator may be late; the schedule never is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const NANOSECONDS: f64 = 1e9;
/// A burst has thinned to e⁻⁴ of its first density when its phase ends.
const BURST_DECAYS: f64 = 4.0;
/// Most lines of a recorded file.
const RECORDED_MAX: usize = 10_000_000;

/// One phase of arrivals.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Arrivals that are evenly spaced.
    Constant {
        /// Requests per second.
        rate: f64,
        /// Length of the phase.
        seconds: f64,
    },
    /// The rate goes from one value to another in a straight line.
    Ramp {
        /// Requests per second at the beginning.
        from: f64,
        /// Requests per second at the end.
        to: f64,
        /// Length of the phase.
        seconds: f64,
    },
    /// A crowd that waited for one moment: dense at first, thinning out exponentially,
    /// with four fifths of them in the first two fifths of the phase.
    Burst {
        /// How many come.
        arrivals: u64,
        /// Length of the phase.
        seconds: f64,
    },
    /// A pause without arrivals.
    Silence {
        /// Length of the phase.
        seconds: f64,
    },
    /// Arrivals recorded elsewhere: one offset in milliseconds a line, ascending, `#`
    /// begins a comment.
    Recorded {
        /// The file, beside the scenario's.
        file: PathBuf,
    },
}

/// All arrivals of a run, in order, computed as they are asked for.
#[derive(Debug, Clone)]
pub struct Schedule {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    start: f64,
    seconds: f64,
    arrivals: u64,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Constant { rate: f64 },
    Ramp { from: f64, to: f64 },
    Burst,
    Silence,
    Recorded(Arc<[u64]>),
}

impl Schedule {
    /// Lays the phases one after another, reading recorded files.
    ///
    /// # Errors
    /// A sentence naming the recorded file and line that cannot be used.
    pub fn new(phases: &[Phase]) -> Result<Self, String> {
        let mut segments = Vec::with_capacity(phases.len());
        let mut start = 0.0;
        for phase in phases {
            let (seconds, arrivals, shape) = match phase {
                Phase::Constant { rate, seconds } => {
                    (*seconds, whole(rate * seconds), Shape::Constant { rate: *rate })
                }
                Phase::Ramp { from, to, seconds } => (
                    *seconds,
                    whole((from + to) / 2.0 * seconds),
                    Shape::Ramp { from: *from, to: *to },
                ),
                Phase::Burst { arrivals, seconds } => (*seconds, *arrivals, Shape::Burst),
                Phase::Silence { seconds } => (*seconds, 0, Shape::Silence),
                Phase::Recorded { file } => {
                    let offsets = read_recorded(file)?;
                    let last = offsets.last().copied().unwrap_or(0);
                    let count = offsets.len() as u64;
                    (last as f64 / NANOSECONDS, count, Shape::Recorded(offsets.into()))
                }
            };
            segments.push(Segment { start, seconds, arrivals, shape });
            start += seconds;
        }
        Ok(Self { segments })
    }

    /// Number of arrivals.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.segments.iter().map(|segment| segment.arrivals).sum()
    }

    /// From the first phase's beginning to the last one's end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.segments.iter().map(|segment| segment.seconds).sum())
    }

    /// Every `stride`th arrival from the `first`: each generator thread takes its own.
    pub fn offsets(&self, first: u64, stride: u64) -> impl Iterator<Item = u64> + use<> {
        let segments = self.segments.clone();
        let total = self.arrivals();
        let mut segment = 0;
        let mut passed = 0;
        (first..total).step_by(usize::try_from(stride.max(1)).unwrap_or(1)).map(move |number| {
            while number - passed >= segments[segment].arrivals {
                passed += segments[segment].arrivals;
                segment += 1;
            }
            segments[segment].offset(number - passed)
        })
    }
}

impl Segment {
    /// Offset in nanoseconds of this segment's `number`th arrival.
    fn offset(&self, number: u64) -> u64 {
        let n = number as f64;
        let seconds = match &self.shape {
            Shape::Constant { rate } => n / rate,
            Shape::Ramp { from, to } => {
                // The number of arrivals by t is from·t + (to − from)·t²/2T; solved for t.
                let slope = (to - from) / self.seconds;
                if slope.abs() < f64::EPSILON {
                    n / from
                } else {
                    let root = (from * from + 2.0 * slope * n).max(0.0).sqrt();
                    (root - from) / slope
                }
            }
            Shape::Burst => {
                let share = n / self.arrivals as f64 * (1.0 - (-BURST_DECAYS).exp());
                -(1.0 - share).ln() / BURST_DECAYS * self.seconds
            }
            Shape::Silence => 0.0,
            Shape::Recorded(offsets) => {
                let index = usize::try_from(number).unwrap_or(usize::MAX);
                offsets.get(index).map_or(self.seconds, |offset| *offset as f64 / NANOSECONDS)
            }
        };
        nanoseconds(self.start + seconds)
    }
}

fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

fn nanoseconds(seconds: f64) -> u64 {
    whole(seconds * NANOSECONDS)
}

fn read_recorded(path: &Path) -> Result<Vec<u64>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    parse_recorded(&text).map_err(|reason| format!("{name}: {reason}"))
}

fn parse_recorded(text: &str) -> Result<Vec<u64>, String> {
    let mut offsets: Vec<u64> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let at = format!("line {}", number + 1);
        let milliseconds: f64 = line.parse().map_err(|_| format!("{at} is not a number"))?;
        if !(0.0..=1e9).contains(&milliseconds) {
            return Err(format!("{at} is not an offset in milliseconds"));
        }
        let offset = nanoseconds(milliseconds / 1e3);
        if offsets.last().is_some_and(|last| *last > offset) {
            return Err(format!("{at} lies before the line above it"));
        }
        if offsets.len() == RECORDED_MAX {
            return Err(format!("more than {RECORDED_MAX} arrivals"));
        }
        offsets.push(offset);
    }
    if offsets.is_empty() {
        return Err("no arrivals".to_owned());
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(phases: &[Phase]) -> Vec<f64> {
        let schedule = Schedule::new(phases).expect("valid");
        schedule.offsets(0, 1).map(|ns| (ns as f64 / 1e6).round() / 1e3).collect()
    }

    #[test]
    fn constant_is_even_and_phases_follow_each_other() {
        let phases = [
            Phase::Constant { rate: 2.0, seconds: 1.0 },
            Phase::Silence { seconds: 1.0 },
            Phase::Constant { rate: 4.0, seconds: 0.5 },
        ];
        assert_eq!(seconds(&phases), [0.0, 0.5, 2.0, 2.25]);
    }

    #[test]
    fn a_ramp_has_its_mean_rate_and_gets_denser() {
        let offsets = seconds(&[Phase::Ramp { from: 0.0, to: 10.0, seconds: 2.0 }]);
        assert_eq!(offsets.len(), 10);
        let gaps: Vec<f64> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.windows(2).all(|pair| pair[1] <= pair[0]), "{gaps:?}");
        assert!(offsets.iter().all(|offset| *offset <= 2.0));
    }

    #[test]
    fn a_burst_is_dense_first_and_ends_in_time() {
        let offsets = seconds(&[Phase::Burst { arrivals: 1_000, seconds: 10.0 }]);
        assert_eq!(offsets.len(), 1_000);
        let early = offsets.iter().filter(|offset| **offset < 4.0).count();
        assert!((790..830).contains(&early), "{early}");
        assert!(offsets.iter().all(|offset| *offset <= 10.0));
    }

    #[test]
    fn threads_share_the_arrivals_without_loss() {
        let phases = [
            Phase::Constant { rate: 100.0, seconds: 1.0 },
            Phase::Burst { arrivals: 33, seconds: 1.0 },
        ];
        let schedule = Schedule::new(&phases).expect("valid");
        let mut shared: Vec<u64> =
            (0..3).flat_map(|first| schedule.offsets(first, 3).collect::<Vec<_>>()).collect();
        shared.sort_unstable();
        assert_eq!(shared, schedule.offsets(0, 1).collect::<Vec<_>>());
    }

    #[test]
    fn recorded_files_are_read_strictly() {
        assert_eq!(parse_recorded("# t\n0\n1.5 # x\n\n2\n"), Ok(vec![0, 1_500_000, 2_000_000]));
        for (text, reason) in [
            ("", "no arrivals"),
            ("1\nx", "line 2 is not a number"),
            ("5\n4", "line 2 lies before the line above it"),
            ("-1", "line 1 is not an offset in milliseconds"),
        ] {
            assert_eq!(parse_recorded(text), Err(reason.to_owned()), "{text:?}");
        }
    }
}
