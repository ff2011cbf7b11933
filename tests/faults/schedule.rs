//! Pure: which fault comes when. A bag of faults is shuffled, emptied, and filled again, so that each kind comes as often as the
//! bag says, in an order that the seed alone decides.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

pub struct Schedule<F> {
    random: StdRng,
    bag: Vec<F>,
    left: Vec<F>,
    pause: (Duration, Duration),
}

impl<F: Copy> Schedule<F> {
    /// `pause`: the shortest and the longest before a fault.
    pub fn new(seed: u64, bag: Vec<F>, pause: (Duration, Duration)) -> Self {
        Self { random: StdRng::seed_from_u64(seed), bag, left: Vec::new(), pause }
    }

    /// The next fault, the pause before it, and dice for whatever the fault leaves open.
    pub fn next(&mut self) -> (Duration, F, StdRng) {
        if self.left.is_empty() {
            self.left.clone_from(&self.bag);
            self.left.shuffle(&mut self.random);
        }
        let pause = self.random.random_range(self.pause.0..=self.pause.1);
        let dice = StdRng::seed_from_u64(self.random.random());
        (pause, self.left.pop().expect("the bag is not empty"), dice)
    }
}

#[test]
fn a_seed_decides_everything_and_every_kind_comes() {
    let pause = (Duration::from_millis(1), Duration::from_secs(1));
    let draw = |seed| {
        let mut schedule = Schedule::new(seed, vec!['a', 'a', 'b'], pause);
        (0..30)
            .map(|_| {
                let (pause, fault, mut dice) = schedule.next();
                (pause, fault, dice.random::<u64>())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    assert_eq!(draw(9).iter().filter(|(_, fault, _)| *fault == 'a').count(), 20);
}
