//! A real control group around the real program: its memory limit approached, and exceeded. Making a group needs rights that a test
//! seldom has, so these are ignored unless asked for: `make chaos-memory`.

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::database::Database;
use support::process::{Daemon, binary, until};

const LONG: Duration = Duration::from_secs(60);

/// A group for memory, of version 2 or 1; gone when it is dropped.
struct Group {
    path: PathBuf,
    limit: &'static str,
    usage: &'static str,
}

impl Group {
    fn new(name: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let path = if unified { root.to_owned() } else { root.join("memory") }.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{} cannot be made: {error}; run this as root", path.display()));
        let (limit, usage) = if unified { ("memory.max", "memory.current") } else { ("memory.limit_in_bytes", "memory.usage_in_bytes") };
        Self { path, limit, usage }
    }

    fn limit(&self, bytes: u64) {
        fs::write(self.path.join(self.limit), bytes.to_string()).unwrap();
    }

    fn usage(&self) -> u64 {
        fs::read_to_string(self.path.join(self.usage)).unwrap().trim().parse().unwrap()
    }

    /// The program, inside it from its first moment.
    fn program(&self) -> Command {
        let (program, mut command) = (binary(), Command::new("sh"));
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // The kernel takes it before its neighbours in the group.
        let enter = format!("echo 1000 > /proc/$$/oom_score_adj && echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.path.display());
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-c", &enter]).arg(program.get_program());
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes are the daemon's, which was dropped before it; the kernel may need a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

async fn articles(database: &Database, from: usize, to: usize) {
    for number in from..to {
        database.article(&format!("a{number:03}"), &format!("Ann Lee met {number} people in Columbia.")).await;
    }
}

const QUICK: [&str; 6] = ["--profile", "fast", "--set", "claim.poll_interval=50ms", "--set", "claim.idle_poll_interval=200ms"];

#[tokio::test]
#[ignore = "makes a control group: make chaos-memory"]
async fn near_the_groups_limit_articles_come_one_at_a_time_and_then_freely_again() {
    let (database, group) = (Database::migrated(true).await, Group::new("nerd-near"));
    group.limit(1 << 30);
    let daemon = Daemon::of(group.program(), &database.url, &QUICK);
    articles(&database, 0, 10).await;
    until("warm", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    assert_eq!(daemon.metric("nerd_memory_tight"), Some(0.0));
    // What is resident is now 95 % of what may be.
    group.limit(group.usage() * 100 / 95);
    articles(&database, 10, 40).await;
    until("told", LONG, || async { daemon.get("/readyz").is_some_and(|(_, told)| told.contains("one at a time")) }).await;
    until("done all the same", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    group.limit(1 << 30);
    articles(&database, 40, 50).await;
    until("free again", LONG, || async { daemon.metric("nerd_memory_tight") == Some(0.0) }).await;
    until("done", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    assert_eq!(database.count("articles a WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id)").await, 0);
    drop(daemon);
}

#[tokio::test]
#[ignore = "makes a control group: make chaos-memory"]
async fn beyond_the_limit_the_kernel_kills_it_and_nothing_is_lost() {
    let (database, group) = (Database::migrated(true).await, Group::new("nerd-beyond"));
    group.limit(1 << 30);
    let mut daemon = Daemon::of(group.program(), &database.url, &[&QUICK[..], &["--set", "claim.lease=2s"]].concat());
    articles(&database, 0, 10).await;
    until("warm", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    // Long enough that it is still at work when all of them are there.
    for number in 10..60 {
        let text = format!("Ann Lee met {number} people in Columbia. ").repeat(2_000);
        database.article(&format!("a{number:03}"), &text).await;
    }
    until("at work", LONG, || async { database.count("nerd.leases").await > 0 }).await;
    // A neighbour in the same group takes what is left, and more.
    group.limit(group.usage() + (32 << 20));
    let eat = format!("echo $$ > {}/cgroup.procs && exec dd if=/dev/zero of=/dev/null bs=512M count=1", group.path.display());
    let mut eater = Command::new("sh").args(["-c", &eat]).spawn().unwrap();
    until("killed", LONG, || {
        let ended = daemon.child.try_wait().unwrap();
        async move { ended.is_some_and(|status| status.signal() == Some(9)) }
    })
    .await;
    let _ = eater.kill();
    eater.wait().unwrap();
    assert!(database.count("nerd.jobs").await > 0, "killed at work");
    drop(daemon);
    let next = Daemon::of(binary(), &database.url, &[&QUICK[..], &["--set", "claim.lease=2s"]].concat());
    until("the next does the rest", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    assert_eq!(database.count("articles a WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id)").await, 0);
    assert_eq!(
        database
            .count("(SELECT 1 FROM article_entities GROUP BY article_id, entity_norm, entity_label HAVING count(*) > 1) AS twice")
            .await,
        0
    );
    drop(next);
}
