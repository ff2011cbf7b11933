//! How the daemon ends when supervision gives up: the first reason is kept, with the exit code that stands for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

/// Why the process must end. The numbers are the exit codes of the README's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The model or the database's schema cannot work, however often it is tried.
    Configuration = 2,
    /// More engine failures than the restart budget allows.
    RestartBudget = 70,
    /// More stalled threads than workers.
    Stalled = 71,
    /// An actor died.
    ActorDied = 72,
}

/// A cause in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatalError {
    pub cause: Cause,
    pub message: String,
}

/// Raises fatal errors; every actor has one.
#[derive(Clone)]
pub struct Fatal {
    sender: mpsc::UnboundedSender<FatalError>,
    ending: Arc<AtomicBool>,
}

impl Fatal {
    /// With the receiver for the one who ends the process.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<FatalError>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, ending: Arc::new(AtomicBool::new(false)) }, receiver)
    }

    pub fn raise(&self, cause: Cause, message: impl Into<String>) {
        // No receiver: the process is ending already.
        let _ = self.sender.send(FatalError { cause, message: message.into() });
    }

    /// From now on actors may go.
    pub fn expect_the_end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// A guard to keep inside an actor: dropped while nobody expects the end, it raises.
    pub fn watch(&self, actor: &'static str) -> DeathWatch {
        DeathWatch { fatal: self.clone(), actor }
    }
}

/// Actix neither restarts an actor that panicked nor tells anyone (style: "the actor vanishes"): this does.
pub struct DeathWatch {
    fatal: Fatal,
    actor: &'static str,
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if !self.fatal.ending.load(Ordering::SeqCst) {
            self.fatal.raise(Cause::ActorDied, format!("the {} died: see the panic above", self.actor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_unless_expected() {
        let (fatal, mut receiver) = Fatal::channel();
        drop(fatal.watch("writer"));
        let told = receiver.try_recv().unwrap();
        assert_eq!((told.cause, told.message.contains("writer")), (Cause::ActorDied, true));
        let watch = fatal.watch("poller");
        fatal.expect_the_end();
        drop(watch);
        assert!(receiver.try_recv().is_err());
    }
}
