//! The indexes of the gazetteer's scopes, one for all workers: read and built when the first article of a scope is claimed, looked
//! at again now and then, bounded in memory (the least recently used go first).
//!
//! No actor: the poller asks, right after its claim, and what it gets travels with the batch. A lock is held while scopes are
//! read, so whoever asks for the same one meanwhile waits and finds it; a scope is never built twice for two.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::matcher::Matcher;
use crate::domain::{Compat, ScopeKey};
use crate::metrics::Metrics;
use crate::store::{ArticleStore, StoreError};

/// Asking for versions takes at most one part in so many of the time.
const RARITY: u32 = 100;
/// What an entry costs beside its index, bytes: key, place in the table. Scopes without rows are remembered too.
const ENTRY_BYTES: u64 = 256;

#[derive(Clone, Copy, Debug)]
pub struct ScopeOptions {
    /// Bytes that the held indexes may occupy. What a batch at work still uses lives on with it, and no longer.
    pub memory_bytes: u64,
    /// For how long at least a scope is used without asking whether its rows have changed; zero: it is asked each time.
    pub refresh: Duration,
    /// Whose rules articles are matched by.
    pub compat: Compat,
}

/// Hands out the indexes of scopes.
pub struct Scopes {
    store: Arc<dyn ArticleStore>,
    options: ScopeOptions,
    metrics: Arc<Metrics>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    entries: HashMap<ScopeKey, Entry>,
    bytes: u64,
    /// Counts the requests.
    now: u64,
    /// What it took to ask for the version of one scope, when that was done last.
    asking: Duration,
}

struct Entry {
    /// `None`: it has no rows.
    scope: Option<Arc<Matcher>>,
    checked: Instant,
    /// The request that used it last.
    used: u64,
}

impl Entry {
    fn bytes(&self) -> u64 {
        ENTRY_BYTES + self.scope.as_ref().map_or(0, |scope| scope.bytes() as u64)
    }
}

impl Scopes {
    pub fn new(options: ScopeOptions, store: Arc<dyn ArticleStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, options, metrics, held: Mutex::default() }
    }

    /// The index for each key, `None` where there is nothing to match with. All or nothing: after an error what was read until
    /// then is still held, so the next try has less to do.
    pub async fn of(&self, keys: &[Option<ScopeKey>]) -> Result<Vec<Option<Arc<Matcher>>>, StoreError> {
        let mut held = self.held.lock().await;
        held.now += 1;
        let result = self.bring(&mut held, keys).await;
        self.metrics.gazetteer_held(held.entries.values().filter(|entry| entry.scope.is_some()).count() as u64, held.bytes);
        result
    }

    async fn bring(&self, held: &mut Held, keys: &[Option<ScopeKey>]) -> Result<Vec<Option<Arc<Matcher>>>, StoreError> {
        let mut wanted: Vec<&ScopeKey> = keys.iter().flatten().collect();
        wanted.sort_unstable();
        wanted.dedup();
        self.check(held, &wanted).await?;
        // Beside those held, all of them used now: what is read for this request may be more than fits.
        let mut brought: HashMap<&ScopeKey, Option<Arc<Matcher>>> = wanted.iter().filter_map(|&key| Some((key, held.take(key)?))).collect();
        for key in wanted {
            if !brought.contains_key(key) {
                let checked = Instant::now();
                let scope = self.read(key, "missing").await?;
                self.hold(held, key.clone(), scope.clone(), checked);
                brought.insert(key, scope);
            }
        }
        Ok(keys.iter().map(|key| key.as_ref().and_then(|key| brought.get(key).cloned().flatten())).collect())
    }

    /// Asks for the versions of those that were not looked at for a while, and reads those anew that have changed.
    async fn check(&self, held: &mut Held, wanted: &[&ScopeKey]) -> Result<(), StoreError> {
        let pause = pause(self.options.refresh, held.asking, held.entries.len());
        let due: Vec<ScopeKey> = wanted
            .iter()
            .filter(|key| held.entries.get(key).is_some_and(|entry| entry.checked.elapsed() >= pause))
            .map(|&key| key.clone())
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let checked = Instant::now();
        let versions = self.store.gazetteer_versions(&due).await?;
        held.asking = checked.elapsed() / u32::try_from(due.len()).unwrap_or(u32::MAX).max(1);
        for (key, version) in due.into_iter().zip(versions) {
            let Some(entry) = held.entries.get_mut(&key) else { continue };
            if entry.scope.as_ref().map(|scope| scope.version()) == version.as_ref() {
                entry.checked = checked;
                continue;
            }
            let scope = self.read(&key, "changed").await?;
            self.hold(held, key, scope, checked);
        }
        Ok(())
    }

    fn hold(&self, held: &mut Held, key: ScopeKey, scope: Option<Arc<Matcher>>, checked: Instant) {
        held.put(key, scope, checked);
        held.shrink(self.options.memory_bytes);
    }

    /// `reason`: missing, changed.
    async fn read(&self, key: &ScopeKey, reason: &'static str) -> Result<Option<Arc<Matcher>>, StoreError> {
        let Some(read) = self.store.gazetteer_rows(key).await? else { return Ok(None) };
        let (rows, compat) = (read.rows.len(), self.options.compat);
        let building = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            (Matcher::new(compat, read.version, read.rows), started.elapsed().as_secs_f64())
        });
        let (scope, seconds) = building
            .await
            .map_err(|error| StoreError::Permanent { kind: "other", message: format!("indexing the gazetteer panicked: {error}") })?;
        let scope = scope.map_err(|error| StoreError::Permanent { kind: "other", message: error.to_string() })?;
        self.metrics.gazetteer_built(reason, seconds);
        tracing::debug!(rows, bytes = scope.bytes(), seconds, reason, "gazetteer indexed");
        Ok(Some(Arc::new(scope)))
    }
}

/// Between two questions for a scope's version: as configured, or longer where very many scopes would have the server always count.
fn pause(refresh: Duration, asking: Duration, scopes: usize) -> Duration {
    if refresh.is_zero() {
        return refresh;
    }
    refresh.max(asking.saturating_mul(u32::try_from(scopes).unwrap_or(u32::MAX).saturating_mul(RARITY)))
}

impl Held {
    /// What is held for a key, and notes that it is used.
    fn take(&mut self, key: &ScopeKey) -> Option<Option<Arc<Matcher>>> {
        let entry = self.entries.get_mut(key)?;
        entry.used = self.now;
        Some(entry.scope.clone())
    }

    fn put(&mut self, key: ScopeKey, scope: Option<Arc<Matcher>>, checked: Instant) {
        let entry = Entry { scope, checked, used: self.now };
        self.bytes += entry.bytes();
        if let Some(before) = self.entries.insert(key, entry) {
            self.bytes -= before.bytes();
        }
    }

    /// Lets the least recently used go until the rest fits.
    fn shrink(&mut self, most: u64) {
        while self.bytes > most {
            let Some(oldest) = self.entries.iter().min_by_key(|(key, entry)| (entry.used, *key)).map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= gone.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dear_questions_are_rarer() {
        let (refresh, asking) = (Duration::from_secs(10), Duration::from_millis(8));
        assert_eq!(pause(refresh, asking, 10), refresh);
        assert_eq!(pause(refresh, asking, 300), Duration::from_secs(240));
        assert_eq!(pause(Duration::ZERO, asking, 300), Duration::ZERO);
        assert_eq!(pause(refresh, Duration::MAX, usize::MAX), Duration::MAX);
    }
}
