//! The claim–lease–complete protocol, every order of steps: two daemons, a sweeper, a crash at any moment, statements that arrive late,
//! twice or never. At most once committed, never lost, no innocent quarantined, eventually done. The transitions are the code's own
//! (`store::queue`, `actors::admission`); `store_contract.rs` holds PostgreSQL against the same.

#[path = "protocol/explorer.rs"]
mod explorer;
#[path = "protocol/world.rs"]
mod world;

use explorer::{Broken, explore};
use world::{Mistake, Nature, Rules};

const GOOD: Nature = Nature::Good;
const POISON: Nature = Nature::Poison;
const DEADLY: Nature = Nature::Deadly;

/// No fault from outside.
fn rules(articles: &[Nature]) -> Rules {
    Rules { articles: articles.to_vec(), limit: 2, kills: 0, cuts: 0, freezes: 0, mistake: None }
}

/// One of each, in any order; an innocent article may be quarantined for these.
fn hard(articles: &[Nature]) -> Rules {
    Rules { kills: 1, cuts: 1, freezes: 1, ..rules(articles) }
}

fn passes(rules: &Rules) {
    let started = std::time::Instant::now();
    match explore(rules) {
        Ok(explored) => {
            println!("{rules:?}: {} worlds, {} steps, {:.1} s", explored.worlds, explored.steps, started.elapsed().as_secs_f64());
            assert!(explored.worlds > 100, "the model is too small to say anything");
        }
        Err(Broken { what, way }) => panic!("{rules:?}: {what}, after {way:#?}"),
    }
}

#[test]
fn good_articles_through_every_fault() {
    passes(&Rules { kills: 2, ..hard(&[GOOD, GOOD]) });
    passes(&Rules { freezes: 0, ..hard(&[GOOD, GOOD, GOOD]) });
}

#[test]
fn bad_articles_through_every_fault() {
    passes(&hard(&[GOOD, POISON]));
    passes(&hard(&[GOOD, DEADLY]));
}

#[test]
fn one_fault_from_outside_quarantines_no_innocent_article() {
    for articles in [[GOOD, GOOD], [GOOD, POISON], [GOOD, DEADLY], [DEADLY, GOOD]] {
        for single in [
            Rules { kills: 1, ..rules(&articles) },
            Rules { cuts: 1, ..rules(&articles) },
            Rules { freezes: 1, ..rules(&articles) },
            Rules { kills: 1, limit: 1, ..rules(&articles) },
        ] {
            assert!(single.spares_the_innocent());
            passes(&single);
        }
    }
    passes(&rules(&[GOOD, POISON, DEADLY]));
}

#[test]
fn each_mistake_is_found() {
    use Mistake::*;
    for (mistake, rules, words) in [
        (UnguardedCompletion, Rules { freezes: 1, ..rules(&[GOOD, GOOD]) }, "has rows and a job"),
        (SuspectsAtAnyTime, rules(&[GOOD, DEADLY]), "a suspect has company"),
        (TwoTransactions, Rules { kills: 1, ..rules(&[GOOD, GOOD]) }, "is lost"),
        (HastySweep, rules(&[GOOD, GOOD]), "is innocent"),
        (ForgivingSweep, rules(&[GOOD, DEADLY]), "work left"),
    ] {
        let Err(Broken { what, way }) = explore(&Rules { mistake: Some(mistake), ..rules }) else {
            panic!("{mistake:?} was not found");
        };
        println!("{mistake:?}: {what}, after {} steps", way.len());
        assert!(what.contains(words), "{mistake:?}: {what}");
    }
}
