//! Breadth first through every world that can be reached; each step is judged, and from each world fair schedules must end the work.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use nerd::store::queue::State;

use super::world::{Action, Nature, Rules, World, id};

/// Rounds within which a fair schedule must have ended everything.
const ROUNDS: usize = 40;

#[derive(Debug)]
pub struct Explored {
    pub worlds: usize,
    pub steps: usize,
}

/// What was broken, and the shortest way there.
#[derive(Debug)]
pub struct Broken {
    pub what: String,
    pub way: Vec<Action>,
}

/// Who acts in a fair schedule; the other's process stands still for ever.
const SCHEDULES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

pub fn explore(rules: &Rules) -> Result<Explored, Broken> {
    let first = World::new(rules);
    let mut seen = HashSet::from([fingerprint(&first)]);
    let mut ways: Vec<(usize, Option<Action>)> = vec![(0, None)];
    let mut ending: [HashSet<u128>; SCHEDULES.len()] = Default::default();
    let mut line = VecDeque::from([(0, first)]);
    let mut steps = 0;
    while let Some((place, world)) = line.pop_front() {
        for (schedule, ending) in SCHEDULES.iter().zip(&mut ending) {
            ends(&world, schedule, ending, rules).map_err(|what| Broken { what, way: way(&ways, place, None) })?;
        }
        for action in world.actions(rules) {
            steps += 1;
            let next = world.after(action, rules);
            judge(&next, rules, rules.spares_the_innocent()).map_err(|what| Broken { what, way: way(&ways, place, Some(action)) })?;
            if seen.insert(fingerprint(&next)) {
                line.push_back((ways.len(), next));
                ways.push((place, Some(action)));
            }
        }
    }
    Ok(Explored { worlds: seen.len(), steps })
}

/// Of 128 bits: among ten million worlds two different ones share it with a probability of 10⁻²⁵.
fn fingerprint(world: &World) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, world).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

fn way(ways: &[(usize, Option<Action>)], mut place: usize, last: Option<Action>) -> Vec<Action> {
    let mut way = Vec::from_iter(last);
    while let (before, Some(action)) = ways[place] {
        way.push(action);
        place = before;
    }
    way.reverse();
    way
}

/// What must hold in every world.
fn judge(world: &World, rules: &Rules, spares: bool) -> Result<(), String> {
    for (article, &commits) in world.commits.iter().enumerate() {
        let job = world.queue.job(&id(article));
        match (commits, job) {
            (0, None) => return Err(format!("article {article} is lost: no job, no rows")),
            (1, Some(job)) => return Err(format!("article {article} has rows and a job: {job:?}")),
            (2.., _) => return Err(format!("article {article} was written {commits} times")),
            _ => {}
        }
        let quarantined = job.is_some_and(|job| job.state == State::Quarantined);
        if quarantined && rules.articles[article] == Nature::Good && spares {
            return Err(format!("article {article} is innocent, and was quarantined"));
        }
        if commits > 0 && rules.articles[article] != Nature::Good {
            return Err(format!("article {article} cannot be read, and has rows"));
        }
    }
    for daemon in &world.daemons {
        let suspects = daemon.held.iter().filter(|held| held.alone).count();
        if suspects > 0 && daemon.held.iter().map(|held| held.articles.len()).sum::<usize>() != 1 {
            return Err("a suspect has company in its process".to_owned());
        }
    }
    Ok(())
}

/// Whether a schedule in which nothing else goes wrong ends everything: good articles done, the others quarantined.
fn ends(world: &World, schedule: &[usize], ending: &mut HashSet<u128>, rules: &Rules) -> Result<(), String> {
    let mut world = world.clone();
    let mut passed = Vec::new();
    for _ in 0..ROUNDS {
        let fingerprint = fingerprint(&world);
        if world.queue.jobs().all(|(_, job)| job.state == State::Quarantined) || ending.contains(&fingerprint) {
            ending.extend(passed);
            return Ok(());
        }
        passed.push(fingerprint);
        world = round(world, schedule, rules);
        // The other's standing still is a fault more.
        judge(&world, rules, rules.spares_the_innocent() && schedule.len() == world.daemons.len())?;
    }
    let left: Vec<_> = world.queue.jobs().collect();
    Err(format!("after {ROUNDS} fair rounds of {schedule:?} there is work left: {left:?}"))
}

/// Each of the schedule's daemons does all that it can; what hangs is executed, the leases of those that do nothing run out.
fn round(mut world: World, schedule: &[usize], rules: &Rules) -> World {
    let act = |world: &mut World, wanted: &dyn Fn(&World, &Action) -> bool| {
        while let Some(action) = world.actions(rules).into_iter().find(|action| wanted(world, action)) {
            *world = world.after(action, rules);
        }
    };
    act(&mut world, &|_, action| matches!(action, Action::Execute(_)));
    for &turn in schedule {
        act(&mut world, &|_, action| matches!(action, Action::Start(daemon) if *daemon == turn));
        act(&mut world, &|_, action| matches!(action, Action::Send { daemon, whole: true, .. } if *daemon == turn));
        act(&mut world, &|_, action| matches!(action, Action::Execute(_)));
        act(&mut world, &|_, action| matches!(action, Action::Die(daemon) if *daemon == turn));
        let claims = |world: &World, action: &Action| {
            matches!(action, Action::Claim(daemon) if *daemon == turn)
                && world.after(*action, rules).daemons[turn].held.len() > world.daemons[turn].held.len()
        };
        act(&mut world, &claims);
    }
    for token in world.queue.tokens() {
        let works = |(number, daemon): (usize, &super::world::Daemon)| {
            schedule.contains(&number) && daemon.held.iter().any(|held| held.token == token)
        };
        if !world.daemons.iter().enumerate().any(works) {
            world.queue.expire(token);
        }
    }
    world.after(Action::Sweep, rules).after(Action::BecomeDue, rules)
}
