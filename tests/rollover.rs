//! Another model in a running process: worker by worker under load, turned round when it does not fit, refused when it cannot fit.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nerd::actors::messages::Roll;
use nerd::actors::model::Model;
use nerd::domain::ExtractorVersion;
use nerd::engine::scripted::ScriptedFactory;
use nerd::engine::{EngineError, EngineFactory, Golden, ModelInfo, NerEngine};
use support::database::Database;
use support::process::{Daemon, binary, until};
use support::rig::{Rig, Setting, borrowed, many};

const LONG: Duration = Duration::from_secs(60);

/// Engines that cannot be built from the so many-th on.
struct Exhausted {
    inner: ScriptedFactory,
    left: AtomicU64,
}

impl EngineFactory for Exhausted {
    fn build(&self) -> Result<Box<dyn NerEngine>, EngineError> {
        let one_less = |left: u64| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => self.inner.build(),
            Err(_) => Err(EngineError::Permanent("the new model has no such label".to_owned())),
        }
    }

    fn model(&self) -> &ModelInfo {
        self.inner.model()
    }

    fn golden(&self) -> &[Golden] {
        &[]
    }
}

fn newer() -> ExtractorVersion {
    ExtractorVersion::new("newer")
}

fn model(builds: u64) -> (Roll, Arc<Exhausted>) {
    let factory = Arc::new(Exhausted { inner: ScriptedFactory::default(), left: AtomicU64::new(builds) });
    (Roll(Model { factory: factory.clone(), version: newer() }), factory)
}

#[actix::test]
async fn every_worker_gets_the_new_model_while_work_goes_on() {
    let articles = many(200);
    let (first, second) = articles.split_at(100);
    let rig = Rig::start(&borrowed(first), Setting { batch_articles: 2, ..Setting::default() });
    rig.until("the first are done", |rig| rig.store.done_count() == 100).await;
    let (roll, factory) = model(u64::MAX);
    second.iter().for_each(|(id, text)| rig.store.add(id, text));
    assert_eq!(rig.supervisor.send(roll).await.unwrap(), Ok(()));
    assert_eq!(factory.inner.builds.load(Ordering::SeqCst), 2, "an engine a worker");
    assert_eq!(rig.model.get().version, newer());
    rig.until("all done", |rig| rig.store.done_count() == 200).await;
    assert!(first.iter().all(|(id, _)| rig.store.done_by(id).as_ref() == Some(support::version())));
    assert!(articles.iter().all(|(id, _)| rig.store.done(id).unwrap().0 == 1), "each once");
    for worker in [0, 1] {
        let loads = |reason| rig.metric(&format!("nerd_model_loads_total{{worker=\"{worker}\",reason=\"{reason}\"}}"));
        assert_eq!([loads("startup"), loads("rollover")], [1.0, 1.0]);
    }
    rig.until("idle", |rig| rig.ledger.articles() == 0).await;
    // One is the poller's, which waits with it for work.
    assert!((3..=4).contains(&rig.permits.available()), "{}", rig.permits.available());
    rig.store.add("late", "Ann spoke");
    rig.until("the late one too", |rig| rig.store.done("late").is_some()).await;
    assert_eq!(rig.store.done_by("late"), Some(newer()));
    assert_eq!(rig.factory.builds.load(Ordering::SeqCst), 2, "no engine of the old model was built again");
}

/// With so many engines before one fails.
async fn turned_round(builds: u64) {
    let articles = many(60);
    let mut rig = Rig::start(&borrowed(&articles), Setting { batch_articles: 2, ..Setting::default() });
    rig.until("ready", |rig| rig.metric("nerd_workers{state=\"loading\"}") == 0.0).await;
    let (roll, factory) = model(builds);
    let answer = rig.supervisor.send(roll).await.unwrap();
    assert_eq!(answer, Err("the new model has no such label".to_owned()));
    assert_eq!(factory.inner.builds.load(Ordering::SeqCst), builds);
    assert_eq!(rig.factory.builds.load(Ordering::SeqCst), 3 + builds, "the old ones are back");
    assert_eq!(rig.model.get().version, *support::version());
    rig.store.add("late", "Ann spoke");
    rig.until("all done", |rig| rig.store.done_count() == 61).await;
    assert_eq!(rig.store.done_by("late"), Some(support::version().clone()));
    assert!(rig.faults.try_recv().is_err(), "the process goes on");
    let (again, _) = model(u64::MAX);
    assert_eq!(rig.supervisor.send(again).await.unwrap(), Ok(()), "the next may succeed");
}

#[actix::test]
async fn a_model_that_fails_at_once_changes_nothing() {
    turned_round(0).await;
}

#[actix::test]
async fn a_model_that_fails_in_the_second_worker_is_taken_out_of_the_first() {
    turned_round(1).await;
}

#[actix::test]
async fn one_at_a_time() {
    let rig = Rig::start(&[], Setting::default());
    rig.until("ready", |rig| rig.metric("nerd_workers{state=\"ready\"}") == 2.0).await;
    let (first, second) = tokio::join!(rig.supervisor.send(model(u64::MAX).0), rig.supervisor.send(model(u64::MAX).0));
    assert_eq!(first.unwrap(), Ok(()));
    assert_eq!(second.unwrap(), Err("another rollover is under way".to_owned()));
}

// The real program.

struct Site {
    database: Database,
    directory: tempfile::TempDir,
}

impl Site {
    /// A link to the fast model, and articles.
    async fn ready(articles: usize) -> Self {
        let (database, directory) = (Database::migrated(true).await, tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(models().join("news-ner-fast"), directory.path().join("model")).unwrap();
        let site = Self { database, directory };
        for number in 0..articles {
            site.database.article(&format!("a{number:04}"), &format!("Ann Lee met {number} people in Columbia.")).await;
        }
        site
    }

    fn link(&self) -> PathBuf {
        self.directory.path().join("model")
    }

    fn daemon(&self, more: &[&str]) -> Daemon {
        let link = self.link();
        let quick = [
            "--model",
            link.to_str().unwrap(),
            "--workers",
            "2",
            "--set",
            "claim.batch_articles=4",
            "--set",
            "claim.poll_interval=100ms",
            "--set",
            "claim.idle_poll_interval=1s",
        ];
        Daemon::of(binary(), &self.database.url, &[&quick, more].concat())
    }

    async fn until_ready(&self, daemon: &Daemon) {
        until("ready", LONG, || async { daemon.get("/readyz").is_some_and(|(status, _)| status == 200) }).await;
    }

    /// `nerd rollover`: its exit code and words.
    async fn rollover(&self, daemon: &Daemon, to: &Path) -> (Option<i32>, String) {
        let address = format!("http.address={}", daemon.address().unwrap());
        let (url, link, to) = (self.database.url.clone(), self.link(), to.to_owned());
        let output = tokio::task::spawn_blocking(move || {
            let mut command = binary();
            command.env("DATABASE_URL", url).arg("rollover").arg(to).arg("--model").arg(link).args(["--set", &address]).output().unwrap()
        })
        .await
        .unwrap();
        let words = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(words).unwrap())
    }

    async fn versions(&self) -> Vec<String> {
        let sql = "SELECT DISTINCT extractor_version FROM article_entities ORDER BY 1";
        self.database.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn all_done(&self) -> bool {
        self.database.count("nerd.jobs").await == 0
    }
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

#[tokio::test]
async fn the_program_goes_over_to_another_model_and_back() {
    let site = Site::ready(60).await;
    let mut daemon = site.daemon(&[]);
    site.until_ready(&daemon).await;
    let (code, words) = site.rollover(&daemon, &models().join("news-ner")).await;
    assert_eq!(code, Some(0), "{words}\n{}", daemon.log());
    assert!(words.starts_with("done: news-ner is in use"), "{words}");
    assert_eq!(std::fs::read_link(site.link()).unwrap(), models().join("news-ner"));
    until("all done", LONG, || site.all_done()).await;
    site.database.article("late", "Ann Lee came to Columbia late.").await;
    until("done by the new model", LONG, || async {
        site.database.count("article_entities WHERE article_id = 'late' AND extractor_version LIKE 'nerd-news-ner-%' AND extractor_version NOT LIKE '%fast%'").await > 0
    })
    .await;
    let twice = "(SELECT article_id FROM article_entities GROUP BY article_id HAVING count(DISTINCT extractor_version) > 1) AS twice";
    assert_eq!(site.database.count(twice).await, 0);
    assert_eq!(site.database.count("articles a WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id)").await, 0);
    // As the alert on reloads reckons: reads but for rollovers.
    let (reads, rolled) = ("nerd_model_weight_reads_total", "nerd_model_loads_total{worker=\"0\",reason=\"rollover\"}");
    assert_eq!((daemon.metric(reads), daemon.metric(rolled)), (Some(2.0), Some(1.0)));
    assert_eq!(daemon.metric("nerd_rollovers_total{outcome=\"done\"}"), Some(1.0));
    until("in the ledger", LONG, || async { site.database.count("nerd.model_loads WHERE reason = 'rollover'").await == 2 }).await;
    // The same again changes nothing; the other one brings the first back.
    let (code, words) = site.rollover(&daemon, &models().join("news-ner")).await;
    assert!(code == Some(0) && words.starts_with("unchanged: "), "{words}");
    let (code, words) = site.rollover(&daemon, &models().join("news-ner-fast")).await;
    assert!(code == Some(0) && words.starts_with("done: news-ner-fast"), "{words}");
    site.database.article("later", "Bob Roe came to Boone County later.").await;
    until("done", LONG, || site.all_done()).await;
    assert_eq!(site.versions().await.len(), 2);
    daemon.signal("TERM");
    assert_eq!(daemon.wait(LONG), Some(0));
}

#[tokio::test]
async fn a_model_that_is_not_sane_is_turned_down_and_the_link_turned_back() {
    let site = Site::ready(0).await;
    let daemon = site.daemon(&[]);
    site.until_ready(&daemon).await;
    // The real weights, of which the manifest promises what they do not find.
    let wrong = site.directory.path().join("wrong");
    std::fs::create_dir(&wrong).unwrap();
    for file in std::fs::read_dir(models().join("news-ner")).unwrap() {
        let file = file.unwrap();
        std::os::unix::fs::symlink(file.path(), wrong.join(file.file_name())).unwrap();
    }
    let manifest = wrong.join("manifest.json");
    let mut sane: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    let golden = sane["golden"].as_array_mut().unwrap();
    golden[0]["entities"][0]["label"] = "MONEY".into();
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, sane.to_string()).unwrap();
    let (code, words) = site.rollover(&daemon, &wrong).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("failed: the model") && words.contains("golden text") && words.contains("again"), "{words}");
    assert_eq!(std::fs::read_link(site.link()).unwrap(), models().join("news-ner-fast"));
    assert_eq!(daemon.metric("nerd_rollovers_total{outcome=\"failed\"}"), Some(1.0));
    site.database.article("after", "Ann Lee came to Columbia.").await;
    until("done by the old model", LONG, || site.all_done()).await;
    assert!(site.versions().await.iter().all(|version| version.contains("fast")));
    let (code, words) = site.rollover(&daemon, Path::new("/nowhere")).await;
    assert!(code == Some(2) && words.contains("/nowhere"), "{words}");
}

#[tokio::test]
async fn a_model_that_has_no_room_is_refused_unread() {
    let site = Site::ready(0).await;
    let daemon = site.daemon(&["--set", "supervision.memory_limit=300MB"]);
    site.until_ready(&daemon).await;
    let (code, words) = site.rollover(&daemon, &models().join("news-ner")).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("refused: ") && words.contains("the limit is"), "{words}");
    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0));
    assert_eq!(daemon.metric("nerd_rollovers_total{outcome=\"refused\"}"), Some(1.0));
}
