//! Pure: the course of memory and of pace as bars, a column each, the newest at the right edge. A spike is never averaged away: a
//! column of memory is the most of its stretch.

use crate::http::status::Whole;
use crate::live::history::Point;

use super::words::seconds_between;

/// Minutes that must be known before memory is shown by the minute.
const ENOUGH_MINUTES: usize = 10;
/// What stays below this share over the baseline is flat, and the chart has room for it.
const ROOM: f64 = 1.25;

/// Bars and their scale.
#[derive(Debug, PartialEq)]
pub struct Chart {
    /// `None`: before anything was known.
    pub bars: Vec<Option<u64>>,
    /// What a full column stands for.
    pub top: u64,
    /// The stretch of time that is shown.
    pub seconds: f64,
}

/// Bytes over time, from 0: hours as soon as some are known, or the last minutes.
pub fn memory(whole: &Whole, other_stretch: bool, width: usize) -> Chart {
    let course = &whole.course;
    let by_minute = (course.minutes.len() >= ENOUGH_MINUTES) != other_stretch && !course.minutes.is_empty();
    let points = if by_minute { &course.minutes } else { &course.seconds };
    let most = |points: &[Point]| points.iter().map(|point| point.resident_bytes).max().unwrap_or(0);
    let room = (whole.status.memory.baseline as f64 * ROOM) as u64;
    chart(points, width, most, room)
}

/// Words a second over time: the last minutes, or the hours.
pub fn pace(whole: &Whole, other_stretch: bool, width: usize) -> Chart {
    let course = &whole.course;
    let points = if other_stretch && !course.minutes.is_empty() { &course.minutes } else { &course.seconds };
    let mean =
        |points: &[Point]| (points.iter().map(|point| point.words_per_second).sum::<f64>() / points.len().max(1) as f64).round() as u64;
    chart(points, width, mean, 1)
}

fn chart(points: &[Point], width: usize, of: impl Fn(&[Point]) -> u64, least_top: u64) -> Chart {
    let columns = points.len().min(width);
    let column = |index: usize| Some(of(&points[points.len() * index / columns..points.len() * (index + 1) / columns]));
    let bars: Vec<Option<u64>> = std::iter::repeat_n(None, width - columns).chain((0..columns).map(column)).collect();
    let top = bars.iter().flatten().copied().max().unwrap_or(0).max(least_top).max(1);
    let seconds = points.first().zip(points.last()).map_or(0.0, |(first, last)| seconds_between(first.at, last.at));
    Chart { bars, top, seconds }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn course(points: usize) -> Whole {
        let mut whole = sample::whole();
        let point =
            |at: usize| Point { at: at as u64 * 1000, resident_bytes: 100 + u64::from(at == 50) * 900, words_per_second: at as f64 };
        whole.course.seconds = (0..points).map(point).collect();
        whole.course.minutes.clear();
        whole.status.memory.baseline = 100;
        whole
    }

    #[test]
    fn a_spike_stays_in_a_narrow_chart() {
        let chart = memory(&course(300), false, 10);
        assert_eq!((chart.bars.len(), chart.top, chart.seconds), (10, 1000, 299.0));
        assert_eq!(chart.bars[1], Some(1000));
        assert!(chart.bars.iter().enumerate().all(|(at, bar)| at == 1 || *bar == Some(100)));
    }

    #[test]
    fn a_short_course_stands_at_the_right() {
        let whole = course(3);
        assert_eq!(pace(&whole, false, 5).bars, [None, None, Some(0), Some(1), Some(2)]);
        assert_eq!(memory(&whole, false, 5).top, 125, "flat memory has room above it");
        assert_eq!(memory(&course(0), true, 2), Chart { bars: vec![None, None], top: 125, seconds: 0.0 });
        assert!(pace(&whole, false, 0).bars.is_empty());
    }

    #[test]
    fn the_stretches_change_places() {
        let mut whole = course(5);
        let minute = |at: u64| Point { at: at * 60_000, resident_bytes: 7, words_per_second: 1.0 };
        whole.course.minutes = (0..60).map(minute).collect();
        let stretches = |other| (memory(&whole, other, 9).seconds, pace(&whole, other, 9).seconds);
        assert_eq!((stretches(false), stretches(true)), ((59.0 * 60.0, 4.0), (4.0, 59.0 * 60.0)));
    }
}
