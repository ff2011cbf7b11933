//! Pure: what the live view knows and where its reader stands in it. Answers and keys come in, nothing goes out but whether to end;
//! the clock is told, never asked.

use crate::http::status::Whole;

/// A key, as far as it means anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    Quit,
    /// Back, or out.
    Escape,
    Freeze,
    Help,
    /// The other stretch of time in the charts.
    Stretch,
    NextList,
    PreviousList,
    Up(usize),
    Down(usize),
    /// The chosen line in full.
    Open,
}

/// The lists that can be walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Errors,
    Quarantine,
    Articles,
    Workers,
}

/// In the order that tab goes through them.
pub const LISTS: [List; 4] = [List::Errors, List::Quarantine, List::Articles, List::Workers];

impl List {
    pub fn length(self, whole: &Whole) -> usize {
        match self {
            Self::Errors => whole.status.errors.len(),
            Self::Quarantine => whole.status.quarantine.len(),
            Self::Articles => whole.articles.recent.len(),
            Self::Workers => whole.status.workers.len(),
        }
    }
}

/// The daemon does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// Unix milliseconds of the last answer, or of the first that failed to come.
    pub since: u64,
    pub reason: String,
    pub attempts: u64,
}

/// Everything that is shown.
#[derive(Debug)]
pub struct State {
    pub url: String,
    pub away: Option<Away>,
    /// Processes that answered beside the first: starts while somebody looked.
    pub successors: u64,
    pub help: bool,
    pub detail: bool,
    pub other_stretch: bool,
    /// Unix milliseconds of the moment that is held.
    pub frozen: Option<u64>,
    shown: Option<Box<Whole>>,
    /// The newest, while another is held.
    newest: Option<Box<Whole>>,
    answered: Option<u64>,
    /// Which process answered last: its start.
    process: Option<u64>,
    list: usize,
    chosen: [usize; LISTS.len()],
}

impl State {
    pub fn new(url: String) -> Self {
        Self {
            url,
            away: None,
            successors: 0,
            help: false,
            detail: false,
            other_stretch: false,
            frozen: None,
            shown: None,
            newest: None,
            answered: None,
            process: None,
            list: 0,
            chosen: [0; LISTS.len()],
        }
    }

    pub fn whole(&self) -> Option<&Whole> {
        self.shown.as_deref()
    }

    pub fn list(&self) -> List {
        LISTS[self.list]
    }

    /// The chosen line of a list, one that is there.
    pub fn chosen(&self, list: List) -> usize {
        let index = LISTS.iter().position(|one| *one == list).unwrap_or_default();
        self.chosen[index].min(self.last(list))
    }

    fn last(&self, list: List) -> usize {
        self.whole().map_or(0, |whole| list.length(whole)).saturating_sub(1)
    }

    /// The daemon answered, or did not.
    pub fn heard(&mut self, answer: Result<Whole, String>, now: u64) {
        match answer {
            Ok(whole) => {
                self.away = None;
                self.answered = Some(now);
                let started = whole.status.process.started;
                self.successors += u64::from(self.process.is_some_and(|before| before != started));
                self.process = Some(started);
                let place = if self.frozen.is_some() { &mut self.newest } else { &mut self.shown };
                *place = Some(Box::new(whole));
            }
            Err(reason) => {
                let since = self.answered.unwrap_or(now);
                let away = self.away.get_or_insert(Away { since, reason: String::new(), attempts: 0 });
                (away.reason, away.attempts) = (reason, away.attempts + 1);
            }
        }
    }

    /// A key was pressed; whether to end.
    pub fn pressed(&mut self, press: Press, now: u64) -> bool {
        match press {
            Press::Quit => return true,
            Press::Escape if self.help || self.detail => (self.help, self.detail) = (false, false),
            Press::Escape => return true,
            Press::Help => (self.help, self.detail) = (!self.help, false),
            Press::Open => self.detail = !self.detail && self.whole().is_some_and(|whole| self.list().length(whole) > 0),
            Press::Stretch => self.other_stretch = !self.other_stretch,
            Press::Freeze if self.frozen.take().is_some() => self.shown = self.newest.take().or(self.shown.take()),
            // Before the first answer there is nothing to hold.
            Press::Freeze => self.frozen = self.shown.is_some().then_some(now),
            Press::NextList => self.list = (self.list + 1) % LISTS.len(),
            Press::PreviousList => self.list = (self.list + LISTS.len() - 1) % LISTS.len(),
            Press::Up(lines) => self.chosen[self.list] = self.chosen(self.list()).saturating_sub(lines),
            Press::Down(lines) => self.chosen[self.list] = self.chosen(self.list()).saturating_add(lines).min(self.last(self.list())),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn state() -> State {
        let mut state = State::new("http://127.0.0.1:8080".to_owned());
        state.heard(Ok(sample::whole()), 1000);
        state
    }

    #[test]
    fn away_since_the_last_answer() {
        let mut state = state();
        state.heard(Err("refused".to_owned()), 2000);
        state.heard(Err("timed out".to_owned()), 3000);
        assert_eq!(state.away, Some(Away { since: 1000, reason: "timed out".to_owned(), attempts: 2 }));
        assert!(state.whole().is_some(), "the last that was known stays");
        state.heard(Ok(sample::whole()), 4000);
        assert_eq!((state.away.take(), state.successors), (None, 0));
        let mut fresh = State::new(String::new());
        fresh.heard(Err("refused".to_owned()), 2000);
        assert_eq!(fresh.away.map(|away| away.since), Some(2000));
    }

    #[test]
    fn another_process_is_counted() {
        let mut state = state();
        let mut other = sample::whole();
        other.status.process.started += 1;
        state.heard(Ok(other), 2000);
        assert_eq!(state.successors, 1);
    }

    #[test]
    fn a_held_moment_stays_and_the_newest_comes_after_it() {
        let mut state = state();
        let held = state.whole().unwrap().status.at;
        assert!(!state.pressed(Press::Freeze, 1500) && state.frozen == Some(1500));
        let mut later = sample::whole();
        later.status.at += 5000;
        state.heard(Ok(later), 2000);
        assert_eq!(state.whole().unwrap().status.at, held);
        state.pressed(Press::Freeze, 2500);
        assert_eq!((state.frozen, state.whole().unwrap().status.at), (None, held + 5000));
        state.pressed(Press::Freeze, 2600);
        state.pressed(Press::Freeze, 2700);
        assert_eq!(state.whole().unwrap().status.at, held + 5000, "nothing came meanwhile: what was there stays");
        let mut fresh = State::new(String::new());
        fresh.pressed(Press::Freeze, 1);
        assert_eq!(fresh.frozen, None);
    }

    #[test]
    fn lists_are_walked_within_their_ends() {
        let mut state = state();
        assert_eq!(state.list(), List::Errors);
        state.pressed(Press::Down(100), 0);
        assert_eq!(state.chosen(List::Errors), List::Errors.length(state.whole().unwrap()) - 1);
        state.pressed(Press::Up(1), 0);
        assert_eq!(state.chosen(List::Errors), List::Errors.length(state.whole().unwrap()) - 2);
        state.pressed(Press::Up(9), 0);
        assert_eq!(state.chosen(List::Errors), 0);
        state.pressed(Press::PreviousList, 0);
        assert_eq!(state.list(), List::Workers);
        state.pressed(Press::NextList, 0);
        state.pressed(Press::NextList, 0);
        assert_eq!(state.list(), List::Quarantine);
        let mut shorter = sample::whole();
        shorter.status.quarantine.clear();
        state.pressed(Press::Down(1), 0);
        state.heard(Ok(shorter), 1);
        assert_eq!(state.chosen(List::Quarantine), 0);
        assert!(!state.pressed(Press::Open, 0) && !state.detail, "there is nothing to open");
    }

    #[test]
    fn escape_closes_what_is_open_before_it_ends() {
        let mut state = state();
        state.pressed(Press::Open, 0);
        assert!(state.detail);
        assert!(!state.pressed(Press::Escape, 0));
        assert!(!state.detail);
        state.pressed(Press::Help, 0);
        assert!(state.help && !state.pressed(Press::Escape, 0) && state.pressed(Press::Escape, 0));
        assert!(state.pressed(Press::Quit, 0));
    }
}
