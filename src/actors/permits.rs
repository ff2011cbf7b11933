//! Permits to claim: two for each ready worker (one batch at work, one waiting), minted when it turns ready, burnt when it
//! fails. So without a loaded model nothing is claimed, and a slow database slows the claims by itself.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of one pool.
pub struct Permits {
    semaphore: Arc<Semaphore>,
    /// Permits burnt while somebody held them: the next ones given back do not return.
    debt: Mutex<usize>,
}

impl Permits {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { semaphore: Arc::new(Semaphore::new(0)), debt: Mutex::new(0) })
    }

    pub fn mint(&self, count: usize) {
        let mut debt = self.debt();
        let settled = count.min(*debt);
        *debt -= settled;
        self.semaphore.add_permits(count - settled);
    }

    pub fn burn(&self, count: usize) {
        let mut debt = self.debt();
        *debt += count - self.semaphore.forget_permits(count);
    }

    /// Waits for a permit.
    pub async fn acquire(self: &Arc<Self>) -> Permit {
        let inner = self.semaphore.clone().acquire_owned().await.expect("the semaphore is never closed");
        Permit { inner: Some(inner), permits: self.clone() }
    }

    /// Permits that nobody holds.
    pub fn available(&self) -> usize {
        self.semaphore.available_permits()
    }

    fn debt(&self) -> std::sync::MutexGuard<'_, usize> {
        self.debt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one batch in flight; given back when dropped.
pub struct Permit {
    inner: Option<OwnedSemaphorePermit>,
    permits: Arc<Permits>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut debt = self.permits.debt();
        if let (true, Some(inner)) = (*debt > 0, self.inner.take()) {
            *debt -= 1;
            inner.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test]
    async fn permits_burnt_in_use_do_not_return() {
        let permits = Permits::new();
        permits.mint(2);
        let held = permits.acquire().await;
        permits.burn(2);
        assert_eq!(permits.available(), 0);
        drop(held);
        assert_eq!(permits.available(), 0);
        permits.mint(2);
        assert_eq!(permits.available(), 2);
    }

    proptest! {
        /// Whatever the order: once all is given back, what is available is what was minted and not burnt.
        #[test]
        fn the_balance_holds(steps in prop::collection::vec(0u8..4, 0..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let permits = Permits::new();
                let (mut workers, mut held) = (0usize, Vec::new());
                for step in steps {
                    match step {
                        0 => { permits.mint(2); workers += 1; }
                        1 if workers > 0 => { permits.burn(2); workers -= 1; }
                        2 if permits.available() > 0 => held.push(permits.acquire().await),
                        3 => drop(held.pop()),
                        _ => {}
                    }
                }
                drop(held);
                prop_assert_eq!(permits.available(), workers * 2);
                Ok(())
            })?;
        }
    }
}
