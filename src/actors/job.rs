//! Pure: a batch on its way through the pool, split when it fails or is shared, sorted when it returns.

use std::collections::VecDeque;
use std::sync::Arc;

use super::in_flight::InFlight;
use super::matcher::Matcher;
use crate::domain::rot47::Decoded;
use crate::domain::{AnnotatedArticle, ArticleId, ClaimToken, ClaimedArticle, Mention, Rejection};
use crate::engine::TextError;

/// Articles of the smallest piece that a batch is cut into so that all workers have some.
const SMALLEST_PIECE: usize = 8;

/// A claimed article ready to be read.
pub struct Prepared {
    pub article: ClaimedArticle,
    /// Where it is not read as it is stored.
    pub decoded: Option<Decoded>,
    /// The gazetteer of its source and dataset, if there is one.
    pub scope: Option<Arc<Matcher>>,
}

impl Prepared {
    /// The text as it is read.
    pub fn text(&self) -> &Arc<str> {
        self.decoded.as_ref().map_or(&self.article.text, |decoded| &decoded.text)
    }

    /// With what was found in it as it was read.
    pub fn annotated(self, mentions: Vec<Mention>) -> AnnotatedArticle {
        let mentions = match &self.decoded {
            Some(read) => mentions.into_iter().map(|mention| mention.placed(read)).collect(),
            None => mentions,
        };
        let gazetteer = self.scope.map(|scope| scope.version().clone());
        AnnotatedArticle { article: self.article, mentions, gazetteer }
    }
}

/// (A part of) a claimed batch. The parts share the claim's guard: the permit is free when the last of them is settled.
pub struct Job {
    pub token: ClaimToken,
    pub articles: Vec<Prepared>,
    pub in_flight: Arc<InFlight>,
}

/// What became of a job's articles.
#[derive(Default)]
pub struct Sorted {
    pub annotated: Vec<AnnotatedArticle>,
    pub rejected: Vec<Rejection>,
    pub released: Vec<ArticleId>,
}

impl Job {
    pub fn texts(&self) -> Vec<(Arc<str>, Option<Arc<Matcher>>)> {
        self.articles.iter().map(|prepared| (prepared.text().clone(), prepared.scope.clone())).collect()
    }

    /// Two halves, or the job itself when it is a single article.
    pub fn split(mut self) -> Result<(Self, Self), Self> {
        if self.articles.len() < 2 {
            return Err(self);
        }
        let second = self.articles.split_off(self.articles.len() / 2);
        let second = Self { token: self.token, articles: second, in_flight: self.in_flight.clone() };
        Ok((self, second))
    }

    /// What a worker takes from the line. Of the last one in it only a half, while that is worth a call of its own: then nobody
    /// idles while somebody else works off a whole batch, be it at the end of a backlog or when a few articles came in at once.
    /// While more wait, batches stay whole, and the database is asked seldom.
    pub fn next(waiting: &mut VecDeque<Self>, workers: usize) -> Option<Self> {
        let job = waiting.pop_front()?;
        if !waiting.is_empty() || workers < 2 || job.articles.len() < 2 * SMALLEST_PIECE {
            return Some(job);
        }
        match job.split() {
            Ok((first, second)) => {
                waiting.push_front(second);
                Some(first)
            }
            Err(job) => Some(job),
        }
    }

    /// Pairs each article with its result.
    pub fn sort(self, results: Vec<Result<Vec<Mention>, TextError>>) -> Sorted {
        let mut sorted = Sorted::default();
        for (prepared, result) in self.articles.into_iter().zip(results) {
            match result {
                Ok(mentions) => sorted.annotated.push(prepared.annotated(mentions)),
                Err(error) => sorted.rejected.push(Rejection { article: prepared.article, error: error.0, weight: 1 }),
            }
        }
        sorted
    }

    pub fn reject(self, error: &str, weight: u32) -> Sorted {
        let rejected =
            self.articles.into_iter().map(|prepared| Rejection { article: prepared.article, error: error.to_owned(), weight }).collect();
        Sorted { rejected, ..Sorted::default() }
    }

    pub fn release(self) -> Sorted {
        Sorted { released: self.articles.into_iter().map(|prepared| prepared.article.id).collect(), ..Sorted::default() }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::actors::in_flight::Ledger;
    use crate::actors::permits::Permits;
    use crate::metrics::Metrics;
    use crate::trace::BatchTrace;

    async fn jobs(sizes: &[usize]) -> VecDeque<Job> {
        let permits = Permits::new();
        permits.mint(sizes.len());
        let mut jobs = VecDeque::new();
        for &size in sizes {
            let token = ClaimToken(Uuid::new_v4());
            let articles = (0..size)
                .map(|number| ClaimedArticle {
                    id: ArticleId::new(number.to_string()),
                    text: "".into(),
                    text_hash: None,
                    source: String::new(),
                    source_id: None,
                    dataset_id: None,
                    attempts: 0,
                    crashes: 0,
                })
                .map(|article| Prepared { article, decoded: None, scope: None })
                .collect();
            let in_flight = InFlight::new(token, size, permits.acquire().await, Ledger::new(), Metrics::new(), BatchTrace::none());
            jobs.push_back(Job { token, articles, in_flight });
        }
        jobs
    }

    fn taken(waiting: &mut VecDeque<Job>, workers: usize) -> Vec<usize> {
        std::iter::from_fn(|| Job::next(waiting, workers)).map(|job| job.articles.len()).collect()
    }

    #[tokio::test]
    async fn the_last_batch_is_shared() {
        assert_eq!(taken(&mut jobs(&[64, 64]).await, 2), [64, 32, 16, 8, 8]);
        assert_eq!(taken(&mut jobs(&[15]).await, 2), [15]);
        assert_eq!(taken(&mut jobs(&[64]).await, 1), [64]);
    }

    #[tokio::test]
    async fn pieces_keep_the_order_of_the_articles() {
        let mut waiting = jobs(&[40]).await;
        let taken: Vec<String> = std::iter::from_fn(|| Job::next(&mut waiting, 3))
            .flat_map(|job| job.articles)
            .map(|prepared| prepared.article.id.to_string())
            .collect();
        assert_eq!(taken, (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}
