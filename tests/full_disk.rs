//! A file system that is really full, under the tables that nerd writes to. Mounting one needs rights that a test seldom has, so
//! this is ignored unless asked for: `make chaos-disk`. (`chaos` raises the same error by a trigger, everywhere.)

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use support::database::{Database, cluster, connect};
use support::process::{Daemon, until};

const LONG: Duration = Duration::from_secs(60);
const ARTICLES: usize = 400;

/// A small file system of its own with a tablespace of the test cluster on it.
struct Disk {
    path: PathBuf,
    tablespace: String,
}

impl Disk {
    async fn mounted(megabytes: u32) -> Self {
        let path = std::env::temp_dir().join(format!("nerd-disk-{}", std::process::id()));
        let tablespace = format!("disk_{}", std::process::id());
        fs::create_dir(&path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs", path.to_str().unwrap()]);
        let admin = connect(cluster()).await;
        let data: String = admin.query_one("SHOW data_directory", &[]).await.unwrap().get(0);
        let owner = ["--reference", data.as_str()];
        run("chown", &[owner[0], owner[1], path.to_str().unwrap()]);
        admin.batch_execute(&format!("CREATE TABLESPACE {tablespace} LOCATION '{}'", path.display())).await.unwrap();
        Self { path, tablespace }
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Writes until the kernel says that nothing more fits.
    fn fill(&self) {
        let mut file = fs::File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 20, 4096] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// After the databases on it are gone.
    async fn remove(self) {
        connect(cluster()).await.batch_execute(&format!("DROP TABLESPACE {}", self.tablespace)).await.unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        let _ = fs::remove_dir(&self.path);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?} failed; run this as root");
}

#[tokio::test]
#[ignore = "mounts a file system: make chaos-disk"]
async fn a_full_disk_stops_the_commits_and_loses_nothing() {
    let disk = Disk::mounted(64).await;
    let database = Database::migrated_in(&disk.tablespace).await;
    for number in 0..ARTICLES {
        let names: String = (0..40).map(|name| format!("Ann Lee met Bob Ray in Town{number}x{name}. ")).collect();
        database.article(&format!("a{number:03}"), &names).await;
        database.enqueue(&format!("a{number:03}")).await;
    }
    disk.fill();
    let daemon = Daemon::start(&database.url, &["--profile", "fast"]);
    until("the full disk is told", LONG, || async {
        daemon.get("/readyz").is_some_and(|(status, told)| status == 503 && told.contains("No space left on device"))
    })
    .await;
    let alive = daemon.get("/livez").map(|(status, _)| status);
    assert_eq!(alive, Some(200), "a full disk is no reason to be restarted");
    assert!(database.count("nerd.jobs").await > 0, "more was written than fits");
    disk.free();
    until("all are done when there is room", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    let missing = "articles a WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id)";
    assert_eq!(database.count(missing).await, 0);
    let twice = "(SELECT 1 FROM article_entities GROUP BY article_id, entity_norm, entity_label HAVING count(*) > 1) AS twice";
    assert_eq!(database.count(twice).await, 0);
    assert_eq!(daemon.metric("nerd_articles_total{outcome=\"quarantined\"}"), Some(0.0), "the disk's fault is no article's");
    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0));
    drop(daemon);
    drop(database);
    disk.remove().await;
}
