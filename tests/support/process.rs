//! The real binary as a child of the test: its port read from its log, killed when the test ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub fn binary() -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_nerd")))
}

/// A program without a setting of the machine's.
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in std::env::vars() {
        if name.starts_with("NERD_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs a command of the binary to its end.
pub fn nerd(url: &str, arguments: &[&str]) -> Output {
    binary().env("DATABASE_URL", url).args(arguments).output().unwrap()
}

/// A running daemon.
pub struct Daemon {
    pub child: Child,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Daemon {
    pub fn start(url: &str, arguments: &[&str]) -> Self {
        Self::of(binary(), url, &[&["--precision", "f32"], arguments].concat())
    }

    /// As another program or with a precision of its own.
    pub fn of(mut command: Command, url: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let child = command
            .env("DATABASE_URL", url)
            .args(["run", "--set", "http.address=127.0.0.1:0"])
            .args(arguments)
            .stderr(File::create(&log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log, _directory: directory }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Where it serves; `None` while it does not yet.
    pub fn address(&self) -> Option<String> {
        Some(self.log().split("address=").nth(1)?.split_whitespace().next()?.to_owned())
    }

    /// `None` while the daemon does not serve yet.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = self.address()?;
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).http_status_as_error(false).build().into();
        let mut response = agent.get(format!("http://{address}{path}")).call().ok()?;
        Some((response.status().as_u16(), response.body_mut().read_to_string().ok()?))
    }

    pub fn metric(&self, line: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '))?.parse().ok()
    }

    /// Sends a signal by the shell's own `kill`, which every machine has.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status().unwrap().success());
    }

    /// Waits for the exit code; `None` when a signal ended it.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < limit, "still running after {limit:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
