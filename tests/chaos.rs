//! Exactly once, whatever dies whenever: processes of the real program over one queue while processes, server and network fail by
//! a seeded schedule; afterwards the rows are those of an undisturbed run. `make chaos` runs it for long.

mod faults;
mod support;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faults::crawler::{self, Crawler};
use faults::database_faults::{DatabaseFault, Site};
use faults::faulty_program;
use faults::fleet::{Fleet, Launch, ProcessFault};
use faults::link::Link;
use faults::report::Report;
use faults::schedule::Schedule;
use faults::server::Server;
use support::database::connect;
use support::process::nerd;
use tokio_postgres::Client;

const SECOND: Duration = Duration::from_secs(1);
/// No commit for so long, though there is work and no fault: wedged.
const WEDGED: Duration = Duration::from_secs(60);

/// How long, over how much, by which dice.
struct Extent {
    time: Duration,
    articles: usize,
    processes: usize,
    seed: u64,
}

impl Extent {
    /// `CHAOS_MINUTES`, `CHAOS_ARTICLES`, `CHAOS_PROCESSES`, `CHAOS_SEED`; a short form otherwise.
    fn from_environment() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<f64>().unwrap_or_else(|_| panic!("{name}: {text:?} is not a number")))
        };
        let minutes = number("CHAOS_MINUTES").unwrap_or(1.5);
        Self {
            time: Duration::from_secs_f64(minutes * 60.0),
            articles: number("CHAOS_ARTICLES").unwrap_or(1_500.0) as usize,
            processes: number("CHAOS_PROCESSES").unwrap_or(2.0) as usize,
            seed: number("CHAOS_SEED").map_or_else(rand::random, |seed| seed as u64) % (1 << 32),
        }
    }

    fn is_long(&self) -> bool {
        self.time >= 300 * SECOND
    }
}

fn arguments() -> Vec<String> {
    let settings = [
        "model.profile=fast",
        "engine.workers=1",
        "claim.lease=3s",
        "claim.batch_articles=16",
        "claim.poll_interval=100ms",
        "claim.idle_poll_interval=500ms",
        "discovery.interval=1s",
        "discovery.reconcile_interval=5s",
        "discovery.chunk_pause=10ms",
        "retry.base_delay=50ms",
        "retry.max_delay=500ms",
        // The faults come by chance: no article is to blame.
        "retry.max_attempts=100",
        "retry.max_crashes=100",
        "database.connect_timeout=1s",
        "database.statement_timeout=2s",
        "supervision.stall_timeout=4s",
        "supervision.restart_limit=100000",
        "shutdown.drain_timeout=5s",
    ];
    settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect()
}

async fn prepared(server: &Server, database: &'static str, crawler: &Crawler, trigger: bool) -> Client {
    server.create(database).await;
    let arguments: &[&str] = if trigger { &["--with-host-tables", "--with-trigger"] } else { &["--with-host-tables"] };
    let output = nerd(&server.url(database), &[&["migrate"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let client = connect(&server.url(database)).await;
    crawler.gazetteer(&client).await;
    client
}

async fn count(client: &Client, of: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {of}"), &[]).await.unwrap().get(0)
}

/// Waits until rows are committed again, or nothing is left to do; `None` when neither comes.
async fn recovery(site: &Site) -> Option<Duration> {
    let client = site.client().await;
    let (started, before) = (Instant::now(), count(&client, "article_entities").await);
    while started.elapsed() < WEDGED {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if count(&client, "article_entities").await != before || count(&client, "nerd.jobs").await == 0 {
            return Some(started.elapsed());
        }
    }
    None
}

#[tokio::test]
async fn every_article_exactly_once_whatever_dies() {
    let extent = Extent::from_environment();
    println!("seed {}: CHAOS_SEED={} repeats this schedule", extent.seed, extent.seed);
    let crawler = Arc::new(Crawler::new(extent.seed, extent.articles));
    let server = Server::start("chaos-postgres");

    // An undisturbed run, by the same program and settings.
    let calm = prepared(&server, "calm", &crawler, false).await;
    crawler.publish(|| server.url("calm"), Duration::ZERO).await;
    let output = nerd(&server.url("calm"), &["extract", "--profile", "fast"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = crawler::rows(&calm).await;
    drop(calm);
    assert!(expected.values().all(|times| *times == 1) && expected.len() > crawler.count());

    drop(prepared(&server, "chaos", &crawler, true).await);
    let link = Link::to(server.address()).await;
    let seed = extent.seed;
    let launch = Launch {
        program: Box::new(move |number| faulty_program(&format!("seed={} panic=0.01 error=0.01 stall=0.002", seed ^ number))),
        url: link.through(&server.url("chaos")),
        arguments: arguments(),
        freeze: 5 * SECOND,
        drain: 15 * SECOND,
    };
    let fleet = Arc::new(Fleet::start(launch, extent.processes));
    let refusal = if extent.is_long() { 60 * SECOND } else { 3 * SECOND };
    let site = Arc::new(Site { server, link, fleet: fleet.clone(), database: "chaos", hold: (SECOND / 2, 3 * SECOND), refusal });
    let report = Arc::new(Mutex::new(Report::default()));

    let watching = tokio::spawn({
        let fleet = fleet.clone();
        async move { fleet.watch().await }
    });
    let publishing = tokio::spawn({
        let (crawler, site, over) = (crawler.clone(), site.clone(), extent.time.mul_f64(0.9));
        async move { crawler.publish(|| site.url(), over).await }
    });
    let deadline = Instant::now() + extent.time;
    let killing = tokio::spawn({
        let fleet = fleet.clone();
        async move {
            let mut bag = vec![ProcessFault::Kill; 9];
            bag.extend([ProcessFault::Terminate, ProcessFault::Freeze, ProcessFault::Roll]);
            let mut schedule = Schedule::new(seed, bag, (SECOND / 5, 2 * SECOND));
            while Instant::now() < deadline {
                let (pause, fault, mut dice) = schedule.next();
                tokio::time::sleep(pause).await;
                fleet.inject(fault, &mut dice).await;
            }
        }
    });
    let disturbing = tokio::spawn({
        let (site, report) = (site.clone(), report.clone());
        async move {
            let mut schedule = Schedule::new(seed.wrapping_add(1), DatabaseFault::ALL.to_vec(), (SECOND / 5, 2 * SECOND));
            let mut wedged = Vec::new();
            while Instant::now() < deadline {
                let (pause, fault, mut dice) = schedule.next();
                tokio::time::sleep(pause).await;
                site.inject(fault, &mut dice).await;
                report.lock().unwrap().injected(fault, 1);
                match recovery(&site).await {
                    Some(after) => report.lock().unwrap().recovered(fault, after),
                    None => wedged.push(fault),
                }
            }
            wedged
        }
    });
    killing.await.unwrap();
    let wedged = disturbing.await.unwrap();
    publishing.await.unwrap();

    // Calm again: what is left is done, and then everything ends.
    let client = site.client().await;
    let (settling, mut last, mut since) = (Instant::now(), -1, Instant::now());
    while count(&client, "nerd.jobs").await > 0
        || count(&client, "articles a WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id)").await > 0
    {
        let done = count(&client, "article_entities").await;
        if done != last {
            (last, since) = (done, Instant::now());
        }
        if since.elapsed() > WEDGED {
            panic!("seed {seed}: nothing more is committed, and articles wait\n{}\n{}", queue(&client).await, fleet.logs().await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    fleet.check_weights().await;
    watching.abort();
    fleet.end().await;

    let found = crawler::rows(&client).await;
    let (lost, strange) = (crawler::missing(&found, &expected), crawler::missing(&expected, &found));
    let wrong = fleet.ends.wrong.lock().unwrap().clone();
    let mut report = std::mem::take(&mut *report.lock().unwrap());
    for (fault, times) in &*fleet.ends.injected.lock().unwrap() {
        report.injected(fault, *times);
    }
    let stalled = fleet.ends.stalled.load(Ordering::SeqCst);
    report.line("seed", seed);
    report.line("articles", crawler.count());
    report.line("rows", found.values().sum::<u64>());
    report.line("rows lost", lost.len());
    report.line("rows doubled or strange", strange.len());
    report.line("processes started", fleet.starts());
    report.line("ended by themselves: too many stalled threads", stalled);
    report.line("seconds to settle after the last fault", format!("{:.1}", settling.elapsed().as_secs_f64()));
    println!("{report}");

    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    assert!(wedged.is_empty(), "seed {seed}: nothing was committed for {WEDGED:?} after {wedged:?}");
    assert!(lost.is_empty() && strange.is_empty(), "seed {seed}: lost {:?}\nstrange {:?}", first(&lost), first(&strange));
    assert_eq!(count(&client, "nerd.leases").await, 0, "seed {seed}: leases left");
    assert_eq!(count(&client, "articles").await, crawler.count() as i64);
}

/// What still waits, and why it might, for whoever must find out.
async fn queue(client: &Client) -> String {
    let sql = "SELECT to_jsonb(j)::text FROM nerd.jobs j ORDER BY run_at LIMIT 10";
    let jobs: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let sql = "SELECT to_jsonb(l)::text || ' at ' || now() FROM nerd.leases l LIMIT 10";
    let leases: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let (jobs_in_all, articles) = (count(client, "nerd.jobs").await, count(client, "articles").await);
    format!("{articles} articles, {jobs_in_all} jobs\n{}\n{}", jobs.join("\n"), leases.join("\n"))
}

fn first(rows: &[String]) -> &[String] {
    &rows[..rows.len().min(3)]
}
