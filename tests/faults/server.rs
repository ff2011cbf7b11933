//! A PostgreSQL of the experiment's own, durable, to be stopped in every way and started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::support::database::connect;

pub struct Server {
    directory: PathBuf,
    url: Mutex<String>,
}

/// How the server is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Connections are ended, everything is written.
    Fast,
    /// As if it had crashed: the next start recovers from the write-ahead log.
    Immediate,
}

impl Server {
    /// `name`: one directory a test and process.
    pub fn start(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/{name}-{}", std::process::id()));
        let url = Mutex::new(start(&directory));
        Self { directory, url }
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        let url = self.url.lock().unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }

    pub fn address(&self) -> SocketAddr {
        let url = self.url.lock().unwrap();
        url.split('@').nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
    }

    pub async fn create(&self, database: &str) {
        connect(&self.url("postgres")).await.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
    }

    /// Stops it and waits until it is gone; `start_again` gives it another port.
    pub async fn stop(&self, how: Stop) {
        let client: Client = connect(&self.url("postgres")).await;
        let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let status = std::fs::read_to_string(format!("/proc/{backend}/status")).unwrap();
        let postmaster = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
        let signal = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        assert!(Command::new("sh").arg("-c").arg(format!("kill -{signal} {postmaster}")).status().unwrap().success());
        let started = Instant::now();
        while Path::new("/proc").join(&postmaster).exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn start_again(&self) {
        let directory = self.directory.clone();
        let url = tokio::task::spawn_blocking(move || start(&directory)).await.unwrap();
        *self.url.lock().unwrap() = url;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = script().arg("remove").arg(&self.directory).status();
    }
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/setup/postgres.sh"))
}

fn start(directory: &Path) -> String {
    // Ended by itself, should this process be killed before it can do so.
    let output = script()
        .arg("start")
        .arg(directory)
        .args(["--idle-stop", "120", "--set", "max_connections=60"])
        .output()
        .expect("postgres.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
