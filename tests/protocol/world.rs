//! The protocol as a machine: two daemons that work off one queue, and everything that may happen to them. The queue's transitions
//! and the daemons' rule for claiming are the program's own; what lies between them is here, one step for each thing that can be
//! interrupted.

use std::time::Duration;

use nerd::actors::admission::{Admission, Situation};
use nerd::domain::{ArticleId, ClaimToken};
use nerd::store::queue::{Failure, Job, Queue, State};
use uuid::Uuid;

/// The clock stands still: what time does (a lease runs out, a retry becomes due) are steps of their own.
const NOW: Duration = Duration::from_secs(100);
const LEASED_UNTIL: Duration = Duration::from_secs(200);
const MAX_ATTEMPTS: u32 = 2;
pub const MAX_CRASHES: u32 = 2;
/// Batches that a daemon's permits allow at once.
const PERMITS: usize = 2;

/// What comes of reading an article.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nature {
    Good,
    /// An error, each time.
    Poison,
    /// The process dies of it, each time.
    Deadly,
}

/// What may go wrong, and how often.
#[derive(Clone, Debug)]
pub struct Rules {
    pub articles: Vec<Nature>,
    /// Articles of a claim.
    pub limit: u32,
    /// Processes killed from outside.
    pub kills: u8,
    /// Connections cut: an answer is lost, or a statement that nobody waits for any more is executed later.
    pub cuts: u8,
    /// Leases that run out under a live process: it was frozen, or the clock of the database jumped.
    pub freezes: u8,
    /// A mistake, put in to see it found.
    pub mistake: Option<Mistake>,
}

impl Rules {
    /// From outside there come fewer faults than the deaths that quarantine an article tried alone: then it must be its own fault. (A
    /// claim whose answer is lost counts as a death too: nobody can tell.)
    pub fn spares_the_innocent(&self) -> bool {
        u32::from(self.kills + self.cuts + self.freezes) < MAX_CRASHES
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A completion does not look at the token.
    UnguardedCompletion,
    /// A process claims suspects beside its other work.
    SuspectsAtAnyTime,
    /// A completion closes the job first and writes the rows in a second transaction.
    TwoTransactions,
    /// A sweep takes leases that have not run out.
    HastySweep,
    /// A suspect's deaths are not counted.
    ForgivingSweep,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub queue: Queue,
    pub daemons: [Daemon; 2],
    /// Statements sent and not yet executed.
    pub wire: Vec<Statement>,
    /// How often the rows of each article were written.
    pub commits: Vec<u8>,
    kills: u8,
    cuts: u8,
    freezes: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Daemon {
    pub up: bool,
    suspect_waits: bool,
    pub held: Vec<Held>,
}

/// A claim in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub token: ClaimToken,
    pub alone: bool,
    /// Not yet settled.
    pub articles: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Statement {
    /// Who waits for its answer, if anybody does.
    sender: Option<usize>,
    token: ClaimToken,
    settles: Settles,
    articles: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Settles {
    Complete,
    Reject,
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Start(usize),
    Claim(usize),
    /// Executed, but the daemon hears an error.
    ClaimWithoutAnswer(usize),
    /// The writer sends what is annotated, or what failed, of a batch: all of it, or one article (a part that one worker had).
    Send {
        daemon: usize,
        batch: usize,
        whole: bool,
    },
    Execute(usize),
    ExecuteWithoutAnswer(usize),
    /// The connection is cut: the statement may still be executed, its sender sends it anew. What was to be given back, nobody sends anew.
    CutOff(usize),
    /// A statement of nobody vanishes.
    Vanish(usize),
    Renew(usize),
    /// SIGTERM: what is held is given back, then the process ends.
    Terminate(usize),
    Kill(usize),
    /// A deadly article does what it does.
    Die(usize),
    RunOut(ClaimToken),
    Sweep,
    BecomeDue,
}

pub fn id(article: usize) -> ArticleId {
    ArticleId::new(article.to_string())
}

fn number(id: &ArticleId) -> usize {
    id.as_str().parse().unwrap()
}

impl World {
    pub fn new(rules: &Rules) -> Self {
        let mut queue = Queue::default();
        (0..rules.articles.len()).for_each(|article| queue.enqueue(id(article), Job::new("gazette", Duration::ZERO)));
        let commits = vec![0; rules.articles.len()];
        Self { queue, daemons: Default::default(), wire: Vec::new(), commits, kills: rules.kills, cuts: rules.cuts, freezes: rules.freezes }
    }

    /// Everything that may happen next.
    pub fn actions(&self, rules: &Rules) -> Vec<Action> {
        let mut actions = vec![Action::Sweep, Action::BecomeDue];
        for (number, daemon) in self.daemons.iter().enumerate() {
            if !daemon.up {
                actions.push(Action::Start(number));
                continue;
            }
            if daemon.held.len() < PERMITS && daemon.admits(rules).is_some() {
                actions.push(Action::Claim(number));
                if self.cuts > 0 {
                    actions.push(Action::ClaimWithoutAnswer(number));
                }
            }
            // The writer settles one batch after another.
            let writes = self.wire.iter().any(|statement| statement.sender == Some(number));
            if !writes {
                for (batch, held) in daemon.held.iter().enumerate() {
                    if held.articles.iter().any(|&article| rules.articles[article] != Nature::Deadly) {
                        actions.push(Action::Send { daemon: number, batch, whole: true });
                        if held.articles.len() > 1 {
                            actions.push(Action::Send { daemon: number, batch, whole: false });
                        }
                    }
                }
            }
            if !daemon.held.is_empty() {
                actions.push(Action::Renew(number));
            }
            if !writes {
                actions.push(Action::Terminate(number));
            }
            if self.kills > 0 {
                actions.push(Action::Kill(number));
            }
            if daemon.is_doomed(rules) {
                actions.push(Action::Die(number));
            }
        }
        for (place, statement) in self.wire.iter().enumerate() {
            actions.push(Action::Execute(place));
            if statement.sender.is_none() && statement.settles != Settles::Release {
                actions.push(Action::Vanish(place));
            } else if self.cuts > 0 {
                actions.extend([Action::ExecuteWithoutAnswer(place), Action::CutOff(place)]);
            }
        }
        actions.extend(self.queue.tokens().into_iter().filter(|token| self.freezes > 0 || !self.is_kept_alive(*token)).map(Action::RunOut));
        actions
    }

    /// A process renews it, or waits for the answer to what it gave back.
    fn is_kept_alive(&self, token: ClaimToken) -> bool {
        self.daemons.iter().flat_map(|daemon| &daemon.held).any(|held| held.token == token)
            || self.wire.iter().any(|statement| statement.settles == Settles::Release && statement.token == token)
    }

    pub fn after(&self, action: Action, rules: &Rules) -> Self {
        let mut next = self.clone();
        next.act(action, rules);
        next.forget_names();
        next
    }

    fn act(&mut self, action: Action, rules: &Rules) {
        match action {
            Action::Start(daemon) => self.daemons[daemon] = Daemon { up: true, ..Daemon::default() },
            Action::Claim(daemon) => self.claim(daemon, rules, true),
            Action::ClaimWithoutAnswer(daemon) => {
                self.cuts -= 1;
                self.claim(daemon, rules, false);
            }
            Action::Send { daemon, batch, whole } => self.send(daemon, batch, whole, rules),
            Action::Execute(place) => {
                let statement = self.wire.remove(place);
                self.execute(&statement, rules);
                if let Some(daemon) = statement.sender {
                    self.daemons[daemon].settle(&statement);
                }
            }
            Action::ExecuteWithoutAnswer(place) => {
                self.cuts -= 1;
                let statement = self.wire.remove(place);
                self.execute(&statement, rules);
            }
            Action::CutOff(place) => {
                self.cuts -= 1;
                match self.wire[place].sender.take() {
                    Some(_) => {}
                    None => drop(self.wire.remove(place)),
                }
            }
            Action::Vanish(place) => drop(self.wire.remove(place)),
            Action::Renew(daemon) => {
                for held in &self.daemons[daemon].held {
                    self.queue.renew(held.token, LEASED_UNTIL);
                }
            }
            Action::Terminate(daemon) => {
                for held in std::mem::take(&mut self.daemons[daemon].held) {
                    let Held { token, articles, .. } = held;
                    self.wire.push(Statement { sender: None, token, settles: Settles::Release, articles });
                }
                self.end(daemon);
            }
            Action::Kill(daemon) => {
                self.kills -= 1;
                self.end(daemon);
            }
            Action::Die(daemon) => self.end(daemon),
            Action::RunOut(token) => {
                self.freezes -= u8::from(self.is_kept_alive(token));
                self.queue.expire(token);
            }
            Action::Sweep => self.sweep(rules),
            Action::BecomeDue => self.queue.make_due(NOW),
        }
    }

    fn claim(&mut self, daemon: usize, rules: &Rules, answered: bool) {
        let Some((limit, suspects)) = self.daemons[daemon].admits(rules) else { return };
        let token = self.unused_token();
        let choice = self.queue.choose(limit as usize, None, suspects, NOW);
        self.queue.lease(&choice, token, LEASED_UNTIL);
        if !answered {
            return;
        }
        let daemon = &mut self.daemons[daemon];
        // As the poller does.
        daemon.suspect_waits = !choice.articles.is_empty() && (choice.suspect_waits || choice.alone);
        if !choice.articles.is_empty() {
            let articles = choice.articles.iter().map(number).collect();
            daemon.held.push(Held { token, alone: choice.alone, articles });
        }
    }

    fn send(&mut self, daemon: usize, batch: usize, whole: bool, rules: &Rules) {
        let held = &self.daemons[daemon].held[batch];
        let of = |nature| held.articles.iter().copied().filter(move |&article| rules.articles[article] == nature);
        let (settles, mut articles): (Settles, Vec<usize>) = match of(Nature::Good).next() {
            Some(_) => (Settles::Complete, of(Nature::Good).collect()),
            None => (Settles::Reject, of(Nature::Poison).collect()),
        };
        articles.truncate(if whole { articles.len() } else { 1 });
        self.wire.push(Statement { sender: Some(daemon), token: held.token, settles, articles });
    }

    fn execute(&mut self, statement: &Statement, rules: &Rules) {
        for &article in &statement.articles {
            let id = id(article);
            // What the mistaken statement would do for a job that another holds, or nobody.
            let holder = self.queue.job(&id).and_then(|job| match job.state {
                State::Leased { token, .. } => Some(token),
                _ => None,
            });
            match statement.settles {
                Settles::Complete if rules.mistake == Some(Mistake::UnguardedCompletion) => {
                    self.queue.close(holder.unwrap_or(statement.token), &id);
                    self.commits[article] += 1;
                }
                Settles::Complete if rules.mistake == Some(Mistake::TwoTransactions) => {
                    // The sender of a statement that nobody waits for any more is gone between the two.
                    if self.queue.close(statement.token, &id) && statement.sender.is_some() {
                        self.commits[article] += 1;
                    }
                }
                Settles::Complete => self.commits[article] += u8::from(self.queue.close(statement.token, &id)),
                Settles::Reject => {
                    let failure = Failure { error: "poison", weight: 1, run_at: LEASED_UNTIL, max_attempts: MAX_ATTEMPTS };
                    self.queue.reject(statement.token, &id, failure);
                }
                Settles::Release => drop(self.queue.release(statement.token, &id)),
            }
        }
    }

    fn sweep(&mut self, rules: &Rules) {
        let now = if rules.mistake == Some(Mistake::HastySweep) { LEASED_UNTIL * 2 } else { NOW };
        let forgiving = rules.mistake == Some(Mistake::ForgivingSweep);
        self.queue.sweep(now, if forgiving { u32::MAX } else { MAX_CRASHES });
    }

    fn end(&mut self, daemon: usize) {
        self.daemons[daemon] = Daemon::default();
        for statement in self.wire.iter_mut().filter(|statement| statement.sender == Some(daemon)) {
            statement.sender = None;
        }
    }

    fn unused_token(&self) -> ClaimToken {
        let mut used = self.queue.tokens();
        used.extend(self.daemons.iter().flat_map(|daemon| &daemon.held).map(|held| held.token));
        used.extend(self.wire.iter().map(|statement| statement.token));
        (1..).map(|number| ClaimToken(Uuid::from_u128(number))).find(|token| !used.contains(token)).expect("numbers do not end")
    }

    /// Worlds that differ only in what nothing depends on are one: the names of the tokens, which errors were noted, in which order
    /// statements wait, and how many deaths beyond those that make a suspect.
    fn forget_names(&mut self) {
        let leased = self.queue.jobs().filter_map(|(_, job)| if let State::Leased { token, .. } = job.state { Some(token) } else { None });
        let held = self.daemons.iter().flat_map(|daemon| &daemon.held).map(|held| held.token);
        let mut order: Vec<ClaimToken> = Vec::new();
        for token in leased.chain(held).chain(self.wire.iter().map(|statement| statement.token)) {
            if !order.contains(&token) {
                order.push(token);
            }
        }
        let named = |token: ClaimToken| {
            let place = order.iter().position(|known| *known == token).expect("every token was seen above");
            ClaimToken(Uuid::from_u128(place as u128 + 1))
        };
        self.daemons.iter_mut().flat_map(|daemon| &mut daemon.held).for_each(|held| held.token = named(held.token));
        self.wire.iter_mut().for_each(|statement| statement.token = named(statement.token));
        self.wire.sort_by_key(|statement| (statement.token, statement.sender, statement.articles.clone()));
        let jobs: Vec<(ArticleId, Job)> = self.queue.jobs().map(|(id, job)| (id.clone(), job.clone())).collect();
        for (id, job) in jobs {
            let state = match job.state {
                State::Leased { token, until, alone } => State::Leased { token: named(token), until, alone },
                state => state,
            };
            self.queue.enqueue(id, Job { state, error: None, crashes: job.crashes.min(MAX_CRASHES), ..job });
        }
    }
}

impl Daemon {
    /// How much it may claim now, and whether suspects.
    fn admits(&self, rules: &Rules) -> Option<(u32, bool)> {
        let in_flight = self.held.iter().map(|held| held.articles.len() as u64).sum();
        match (Situation { in_flight, suspect_waits: self.suspect_waits, tight: false }).admits(rules.limit) {
            Admission::Wait if rules.mistake == Some(Mistake::SuspectsAtAnyTime) => Some((rules.limit, true)),
            Admission::Wait => None,
            Admission::Claim { limit, suspects } => Some((limit, suspects || rules.mistake == Some(Mistake::SuspectsAtAnyTime))),
        }
    }

    fn is_doomed(&self, rules: &Rules) -> bool {
        self.held.iter().flat_map(|held| &held.articles).any(|&article| rules.articles[article] == Nature::Deadly)
    }

    fn settle(&mut self, statement: &Statement) {
        for held in self.held.iter_mut().filter(|held| held.token == statement.token) {
            held.articles.retain(|article| !statement.articles.contains(article));
        }
        self.held.retain(|held| !held.articles.is_empty());
    }
}
