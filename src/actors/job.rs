//! Pure: a batch on its way through the pool, split when it fails, sorted when it returns.

use std::sync::Arc;

use super::in_flight::InFlight;
use crate::domain::{AnnotatedArticle, ArticleId, Batch, ClaimToken, ClaimedArticle, Entity, Rejection};
use crate::engine::TextError;

/// (A part of) a claimed batch. The parts share the claim's guard: the permit is free when the last of them is settled.
pub struct Job {
    pub token: ClaimToken,
    pub articles: Vec<ClaimedArticle>,
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
    pub fn new(batch: Batch, in_flight: Arc<InFlight>) -> Self {
        Self { token: batch.token, articles: batch.articles, in_flight }
    }

    pub fn texts(&self) -> Vec<Arc<str>> {
        self.articles.iter().map(|article| article.text.clone()).collect()
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

    /// Pairs each article with its result.
    pub fn sort(self, results: Vec<Result<Vec<Entity>, TextError>>) -> Sorted {
        let mut sorted = Sorted::default();
        for (article, result) in self.articles.into_iter().zip(results) {
            match result {
                Ok(entities) => sorted.annotated.push(AnnotatedArticle { article, entities }),
                Err(error) => sorted.rejected.push(Rejection { article, error: error.0, weight: 1 }),
            }
        }
        sorted
    }

    pub fn reject(self, error: &str, weight: u32) -> Sorted {
        let rejected = self.articles.into_iter().map(|article| Rejection { article, error: error.to_owned(), weight }).collect();
        Sorted { rejected, ..Sorted::default() }
    }

    pub fn release(self) -> Sorted {
        Sorted { released: self.articles.into_iter().map(|article| article.id).collect(), ..Sorted::default() }
    }
}
