//! The signals that ask the process to end, or to go over to another model, received from its first moment on: one that comes while the model is being read ends
//! it as cleanly as any other.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
pub(super) enum Order {
    End,
    /// To read the configuration again, and go over to the model that it names.
    Reload,
}

/// SIGTERM and SIGINT, and for a daemon SIGHUP.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    pub(super) fn receive(hangup: bool) -> Result<Self, String> {
        let receive = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        Ok(Self {
            terminate: receive(SignalKind::terminate())?,
            interrupt: receive(SignalKind::interrupt())?,
            hangup: hangup.then(|| receive(SignalKind::hangup())).transpose()?,
        })
    }

    pub(super) async fn next(&mut self) -> Order {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Order::End,
            _ = self.interrupt.recv() => Order::End,
            _ = hangup => Order::Reload,
        }
    }

    /// Waits for one that asks the process to end.
    pub(super) async fn end(&mut self) {
        while !matches!(self.next().await, Order::End) {}
    }
}
