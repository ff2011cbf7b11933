//! Whether memory is nearly used up. The poller asks before each claim: while it is, nothing is claimed beside what is in flight,
//! and then one article at a time, so that the process slows down instead of being killed, and never stands still.

use std::sync::{Arc, Mutex, PoisonError};

use bytesize::ByteSize;

use super::health::Health;
use crate::metrics::Metrics;

/// Memory is tight from this share of the limit on…
const TIGHT_FROM: f64 = 0.92;
/// …until less than this share is used: between the two, what was goes on.
const EASED_BELOW: f64 = 0.88;

/// Bytes in use and the bytes that may be; `None` where there is no limit.
pub type Figures = Arc<dyn Fn() -> Option<(u64, u64)> + Send + Sync>;

/// Pure: the two marks.
#[derive(Debug, Default)]
struct Marks {
    tight: bool,
}

impl Marks {
    fn judge(&mut self, used: u64, limit: u64) -> bool {
        let share = used as f64 / limit.max(1) as f64;
        self.tight = share >= if self.tight { EASED_BELOW } else { TIGHT_FROM };
        self.tight
    }
}

/// Asks for the figures, and tells whoever looks what follows from them.
pub struct MemoryGuard {
    figures: Figures,
    marks: Mutex<Marks>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl MemoryGuard {
    pub fn new(figures: Figures, health: Arc<Health>, metrics: Arc<Metrics>) -> Self {
        Self { figures, marks: Mutex::default(), health, metrics }
    }

    /// Whether memory is tight now.
    pub fn is_tight(&self) -> bool {
        let figures = (self.figures)();
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let was = marks.tight;
        let tight = figures.is_some_and(|(used, limit)| marks.judge(used, limit));
        marks.tight = tight;
        if was != tight {
            let (used, limit) = figures.unwrap_or_default();
            let told = format!(
                "memory is tight: {} of {} in use; articles are claimed one at a time",
                ByteSize(used).display().si(),
                ByteSize(limit).display().si()
            );
            if tight {
                tracing::warn!("{told}");
            } else {
                tracing::info!(used, limit, "memory is no longer tight");
            }
            self.health.memory(tight.then_some(told));
            self.metrics.memory_tight(tight);
        }
        tight
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn it_does_not_flicker_between_the_marks() {
        let used = Arc::new(AtomicU64::new(910));
        let (health, metrics) = (Arc::new(Health::default()), Metrics::new());
        let seen = used.clone();
        let guard = MemoryGuard::new(Arc::new(move || Some((seen.load(Ordering::SeqCst), 1000))), health.clone(), metrics.clone());
        let mut look = |bytes| {
            used.store(bytes, Ordering::SeqCst);
            guard.is_tight()
        };
        assert_eq!([910, 920, 910, 881, 879, 910, 1000].map(&mut look), [false, true, true, true, false, false, true]);
        assert!(health.readiness().memory.unwrap().contains("1.0 kB of 1.0 kB"), "{:?}", health.readiness());
        assert!(metrics.render().contains("nerd_memory_tight 1\n"));
        assert!(!look(0));
        assert_eq!(health.readiness().memory, None);
    }

    #[test]
    fn without_a_limit_it_is_never_tight() {
        let guard = MemoryGuard::new(Arc::new(|| None), Arc::default(), Metrics::new());
        assert!(!guard.is_tight());
    }
}
