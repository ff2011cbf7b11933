//! Processes of the program on one queue, to be killed, ended, frozen and replaced; whoever ends by itself is noticed.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::support::process::Daemon;

/// What may happen to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessFault {
    /// SIGKILL.
    Kill,
    /// SIGTERM, at any moment.
    Terminate,
    /// SIGSTOP for longer than a lease, then SIGCONT.
    Freeze,
    /// Every process is replaced: the new one beside the old, then the old one drained.
    Roll,
}

/// Everything a process was given at its start.
pub struct Launch {
    pub program: Box<dyn Fn(u64) -> Command + Send + Sync>,
    pub url: String,
    pub arguments: Vec<String>,
    /// Longer than a lease.
    pub freeze: Duration,
    /// The limit of a drain, and some seconds for the rest.
    pub drain: Duration,
}

/// How processes ended.
#[derive(Default)]
pub struct Ends {
    pub injected: Mutex<BTreeMap<ProcessFault, u64>>,
    /// Ended by themselves with 71: too many stalled threads.
    pub stalled: AtomicU64,
    /// Everything that should not have been, with the end of the log.
    pub wrong: Mutex<Vec<String>>,
}

pub struct Fleet {
    launch: Launch,
    places: Vec<tokio::sync::Mutex<Daemon>>,
    started: AtomicU64,
    pub ends: Ends,
    /// Database faults so far, and whether one holds: a process that drains meanwhile may not be able to give everything back.
    pub disturbed: AtomicU64,
}

impl Fleet {
    pub fn start(launch: Launch, processes: usize) -> Self {
        let mut fleet =
            Self { launch, places: Vec::new(), started: AtomicU64::new(0), ends: Ends::default(), disturbed: AtomicU64::new(0) };
        fleet.places = (0..processes).map(|_| tokio::sync::Mutex::new(fleet.daemon())).collect();
        fleet
    }

    pub fn starts(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }

    fn daemon(&self) -> Daemon {
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        let arguments: Vec<&str> = self.launch.arguments.iter().map(String::as_str).collect();
        Daemon::of((self.launch.program)(number), &self.launch.url, &arguments)
    }

    pub async fn inject(&self, fault: ProcessFault, dice: &mut StdRng) {
        *self.ends.injected.lock().unwrap().entry(fault).or_default() += 1;
        let mut place = self.places[dice.random_range(0..self.places.len())].lock().await;
        match fault {
            ProcessFault::Kill => {
                place.signal("KILL");
                place.wait(Duration::from_secs(10));
                *place = self.daemon();
            }
            ProcessFault::Terminate => {
                self.terminate(&mut place).await;
                *place = self.daemon();
            }
            ProcessFault::Freeze => {
                place.signal("STOP");
                tokio::time::sleep(self.launch.freeze).await;
                place.signal("CONT");
            }
            ProcessFault::Roll => {
                drop(place);
                for place in &self.places {
                    let mut new = self.daemon();
                    let started = Instant::now();
                    while new.address().is_none() && new.child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(20)
                    {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    let mut place = place.lock().await;
                    self.terminate(&mut place).await;
                    *place = new;
                }
            }
        }
    }

    /// 0 within the drain's limit; 1 (not all could be given back) only where the database was disturbed meanwhile.
    async fn terminate(&self, daemon: &mut Daemon) {
        let before = self.disturbed.load(Ordering::SeqCst);
        // The handlers are there from the first log line on.
        let started = Instant::now();
        while daemon.log().is_empty() && started.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        daemon.signal("TERM");
        let started = Instant::now();
        let code = loop {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                break status.code();
            }
            if started.elapsed() > self.launch.drain {
                self.wrong(format!("no end within {:?} after SIGTERM", self.launch.drain), daemon);
                daemon.signal("KILL");
                break Some(0);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let after = self.disturbed.load(Ordering::SeqCst);
        let disturbed = after != before || after % 2 == 1;
        match code {
            Some(0) => {}
            Some(1) if disturbed => {}
            Some(71) => drop(self.ends.stalled.fetch_add(1, Ordering::SeqCst)),
            code => self.wrong(format!("code {code:?} after SIGTERM"), daemon),
        }
    }

    /// Starts again whoever ended by itself.
    pub async fn watch(&self) {
        loop {
            for place in &self.places {
                if let Ok(mut place) = place.try_lock()
                    && let Some(status) = place.child.try_wait().unwrap()
                {
                    if status.code() == Some(71) {
                        self.ends.stalled.fetch_add(1, Ordering::SeqCst);
                    } else {
                        self.wrong(format!("ended by itself: {status}"), &place);
                    }
                    *place = self.daemon();
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Looks at every process's own account: whatever failed, the weights were read once.
    pub async fn check_weights(&self) {
        for place in &self.places {
            let place = place.lock().await;
            if let Some(reads) = place.metric("nerd_model_weight_reads_total")
                && reads > 1.0
            {
                self.wrong(format!("the weights were read {reads} times"), &place);
            }
        }
    }

    /// Ends all, cleanly.
    pub async fn end(&self) {
        for place in &self.places {
            self.terminate(&mut *place.lock().await).await;
        }
    }

    /// The end of every log, and what each process says of itself.
    pub async fn logs(&self) -> String {
        let mut all = String::new();
        for place in &self.places {
            let place = place.lock().await;
            let ready = place.get("/readyz").map_or_else(|| "does not answer".to_owned(), |(_, body)| body);
            all += &format!("process {}: {ready}\n{}", place.child.id(), tail(&place.log()));
        }
        all
    }

    fn wrong(&self, what: String, daemon: &Daemon) {
        self.ends.wrong.lock().unwrap().push(format!("{what}\n{}", tail(&daemon.log())));
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(15).collect();
    lines.iter().rev().map(|line| format!("    {line}\n")).collect()
}
