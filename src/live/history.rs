//! Pure: memory and pace over time in a bounded space: seconds for the last minutes, minutes for the last day.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::metrics::totals::StageTotal;

/// Seconds that are kept one by one.
const SECONDS: usize = 300;
/// Minutes that are kept one by one: a day.
const MINUTES: usize = 1440;
/// Samples that "the last minute" reaches back over.
const LAST_MINUTE: usize = 60;
const MINUTE: u64 = 60_000;

/// One look at the totals.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Unix milliseconds.
    pub at: u64,
    pub resident_bytes: u64,
    pub words: u64,
    /// Batches and seconds so far, a stage after another.
    pub stages: Vec<(u64, f64)>,
}

/// One moment of the course.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Unix milliseconds.
    pub at: u64,
    pub resident_bytes: u64,
    pub words_per_second: f64,
}

impl Serialize for Point {
    /// Three numbers in a row: there are many of them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.at, self.resident_bytes, (self.words_per_second * 10.0).round() / 10.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (at, resident_bytes, words_per_second) = Deserialize::deserialize(deserializer)?;
        Ok(Self { at, resident_bytes, words_per_second })
    }
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Course {
    pub seconds: Vec<Point>,
    pub minutes: Vec<Point>,
}

/// A stage's figures.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct StageNow {
    pub stage: Cow<'static, str>,
    /// In the last minute.
    pub recent_batches: u64,
    pub recent_seconds: f64,
    /// Since the start.
    pub batches: u64,
    pub seconds: f64,
}

/// The rings.
#[derive(Debug, Default)]
pub struct History {
    seconds: VecDeque<Point>,
    minutes: VecDeque<Point>,
    samples: VecDeque<Sample>,
    /// Where the minute under way began, and the most memory in it.
    minute: Option<(Sample, u64)>,
}

impl History {
    pub fn push(&mut self, sample: Sample) {
        if let Some(before) = self.samples.back() {
            kept(&mut self.seconds, SECONDS, point(before, &sample, sample.resident_bytes));
        }
        match &mut self.minute {
            // The most of a minute: a spike between two points would be what is to be seen.
            Some((begun, most)) => {
                *most = sample.resident_bytes.max(*most);
                if sample.at.saturating_sub(begun.at) >= MINUTE {
                    kept(&mut self.minutes, MINUTES, point(begun, &sample, *most));
                    self.minute = Some((sample.clone(), sample.resident_bytes));
                }
            }
            None => self.minute = Some((sample.clone(), sample.resident_bytes)),
        }
        kept(&mut self.samples, LAST_MINUTE + 1, sample);
    }

    pub fn course(&self) -> Course {
        Course { seconds: self.seconds.iter().copied().collect(), minutes: self.minutes.iter().copied().collect() }
    }

    pub fn newest(&self) -> (Option<Point>, Option<Point>) {
        (self.seconds.back().copied(), self.minutes.back().copied())
    }

    /// Since the start as the totals say, and in the last minute by what they were then.
    pub fn stages(&self, totals: &[StageTotal]) -> Vec<StageNow> {
        let then = self.samples.front();
        let stage = |(index, total): (usize, &StageTotal)| {
            let (batches, seconds) = then.and_then(|sample| sample.stages.get(index)).copied().unwrap_or_default();
            StageNow {
                stage: total.stage.clone(),
                recent_batches: total.batches.saturating_sub(batches),
                recent_seconds: (total.seconds - seconds).max(0.0),
                batches: total.batches,
                seconds: total.seconds,
            }
        };
        totals.iter().enumerate().map(stage).collect()
    }
}

fn point(before: &Sample, after: &Sample, resident_bytes: u64) -> Point {
    let seconds = after.at.saturating_sub(before.at) as f64 / 1000.0;
    let words = after.words.saturating_sub(before.words) as f64;
    Point { at: after.at, resident_bytes, words_per_second: if seconds > 0.0 { words / seconds } else { 0.0 } }
}

fn kept<T>(ring: &mut VecDeque<T>, most: usize, newest: T) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(newest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, resident_bytes: u64, words: u64) -> Sample {
        Sample { at: second * 1000, resident_bytes, words, stages: vec![(second, second as f64 / 2.0)] }
    }

    #[test]
    fn a_pace_is_between_two_looks() {
        let mut history = History::default();
        history.push(sample(10, 100, 1000));
        assert_eq!(history.newest(), (None, None));
        history.push(sample(12, 110, 1500));
        assert_eq!(history.newest().0, Some(Point { at: 12_000, resident_bytes: 110, words_per_second: 250.0 }));
        // A clock that was set back makes no pace.
        history.push(sample(11, 110, 1600));
        assert_eq!(history.newest().0.unwrap().words_per_second, 0.0);
    }

    #[test]
    fn a_minute_shows_its_spike_and_its_mean() {
        let mut history = History::default();
        for second in 0..=60 {
            history.push(sample(second, if second == 30 { 900 } else { 100 }, second * 10));
        }
        assert_eq!(history.newest().1, Some(Point { at: 60_000, resident_bytes: 900, words_per_second: 10.0 }));
    }

    #[test]
    fn two_days_take_the_space_of_one() {
        let mut history = History::default();
        for second in 0..2 * 86_400 {
            history.push(sample(second, 100, 0));
        }
        let course = history.course();
        assert_eq!((course.seconds.len(), course.minutes.len(), history.samples.len()), (SECONDS, MINUTES, LAST_MINUTE + 1));
        assert_eq!(course.seconds.last().unwrap().at, (2 * 86_400 - 1) * 1000);
    }

    #[test]
    fn stages_of_the_last_minute_are_a_difference() {
        let mut history = History::default();
        (0..200).for_each(|second| history.push(sample(second, 100, 0)));
        let now = history.stages(&[StageTotal { stage: "infer".into(), batches: 199, seconds: 99.5 }]);
        assert_eq!((now[0].recent_batches, now[0].recent_seconds, now[0].batches), (60, 30.0, 199));
    }
}
