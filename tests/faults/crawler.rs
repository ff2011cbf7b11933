//! The host's side: articles that arrive bit by bit, some of them twice, with a gazetteer of their source; and what must have
//! become of them in the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio_postgres::{Client, NoTls};

use crate::support::articles::samples;

/// One in so many articles is the copy of an earlier one.
const COPIES: u32 = 20;
/// Articles of one statement.
const CHUNK: usize = 20;
const SOURCES: [&str; 3] = ["gazette", "herald", "courier"];

struct Article {
    id: String,
    source: &'static str,
    text: String,
}

pub struct Crawler {
    articles: Vec<Article>,
}

impl Crawler {
    /// Short articles, each a few sentences of the samples.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let sentences: Vec<String> = samples()
            .iter()
            .flat_map(|(_, text)| text.split_inclusive(". ").map(str::to_owned).collect::<Vec<_>>())
            .filter(|sentence| (30..400).contains(&sentence.len()))
            .collect();
        let mut articles: Vec<Article> = Vec::with_capacity(count);
        for number in 0..count {
            let text = if number > 0 && random.random_ratio(1, COPIES) {
                articles.choose(&mut random).unwrap().text.clone()
            } else {
                let lines: String = (0..random.random_range(2..6)).map(|_| sentences.choose(&mut random).unwrap().as_str()).collect();
                format!("{lines}\nReport {number}.")
            };
            articles.push(Article { id: format!("a{number:06}"), source: SOURCES.choose(&mut random).unwrap(), text });
        }
        Self { articles }
    }

    pub fn count(&self) -> usize {
        self.articles.len()
    }

    /// What the articles' source knows of its places.
    pub async fn gazetteer(&self, client: &Client) {
        client
            .batch_execute(
                "INSERT INTO sources (id, host, host_norm) SELECT 's-' || s, s, s FROM unnest(ARRAY['gazette', 'herald', 'courier']) AS s;
                 INSERT INTO datasets (id, slug, label, ingested_at) VALUES ('d', 'd', 'd', now());
                 INSERT INTO gazetteer (id, name, name_norm, category, dataset_id, source_id, osm_type, osm_id)
                 SELECT s || n, n, lower(n), 'landmarks', 'd', 's-' || s, 'node', n
                 FROM unnest(ARRAY['gazette', 'herald']) AS s,
                    unnest(ARRAY['Tannery Street Bridge', 'Dayton', 'Ohio Department of Transportation', 'Greeley County', 'Columbia']) AS n",
            )
            .await
            .unwrap();
    }

    /// Inserts every article, spread over the time; whatever happens to the server meanwhile.
    pub async fn publish(&self, url: impl Fn() -> String, over: Duration) {
        let started = Instant::now();
        for (number, chunk) in self.articles.chunks(CHUNK).enumerate() {
            let due = over.mul_f64((number * CHUNK) as f64 / self.articles.len() as f64);
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
            // An answer that was lost does not say whether it was done: done again, it does nothing.
            while insert(&url(), chunk).await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn insert(url: &str, articles: &[Article]) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("SET lock_timeout = '5s'; SET default_transaction_read_only = off").await?;
    let column = |of: fn(&Article) -> &str| articles.iter().map(of).collect::<Vec<&str>>();
    client
        .execute(
            "WITH new AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n (id, source, text, place)),
             links AS (
                INSERT INTO candidate_links (id, url, source, discovered_at, status, source_id, dataset_id)
                SELECT 'l-' || id, 'https://example.test/' || id, source, now() AT TIME ZONE 'UTC', 'article', 's-' || source, 'd' FROM new
                ON CONFLICT DO NOTHING RETURNING 1
             )
             INSERT INTO articles (id, candidate_link_id, url, status, created_at, extracted_at, content, text, text_hash)
             SELECT id, 'l-' || id, 'https://example.test/' || id, 'extracted', now() AT TIME ZONE 'UTC',
                (now() AT TIME ZONE 'UTC') + place * interval '1 microsecond', 'c', text, md5(text)
             FROM new WHERE (SELECT count(*) FROM links) >= 0 ON CONFLICT DO NOTHING",
            &[&column(|a| &a.id), &column(|a| a.source), &column(|a| &a.text)],
        )
        .await?;
    Ok(())
}

/// Rows as they are but for what another database has otherwise: random ids, the time, the gazetteer's version; each with how
/// often it is there.
pub async fn rows(client: &Client) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for row in
        client.query("SELECT ((to_jsonb(e) - 'id' - 'created_at') #- '{meta,gazetteer}')::text FROM article_entities e", &[]).await.unwrap()
    {
        *all.entry(row.get(0)).or_default() += 1;
    }
    all
}

/// Rows that are in the second and not in the first, or less often.
pub fn missing(found: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) -> Vec<String> {
    expected.iter().filter(|(row, count)| found.get(*row).is_none_or(|found| found < count)).map(|(row, _)| row.clone()).collect()
}
