//! The real Prometheus as a child of the test: it scrapes a daemon every second and evaluates the project's rules as often.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Where `prometheus` or `promtool` lies; brings it where it is missing.
pub fn program(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/setup/prometheus.sh");
    let output = Command::new(script).args(["path", name]).output().expect("deploy/setup/prometheus.sh runs");
    assert!(output.status.success(), "no {name}: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Prometheus {
    /// `target`: host and port of what is scraped as the job `nerd`.
    pub fn scraping(target: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("prometheus.yml");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{0}/recording.yml', '{0}/alerts.yml']\n\
             scrape_configs:\n  - job_name: nerd\n    static_configs: [{{ targets: ['{target}'] }}]\n",
            rules.display()
        );
        std::fs::write(&configuration, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, address, directory }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// The `data` of an answer of the API, or what it complains of.
    pub fn ask(&self, path: &str, query: Option<&str>) -> Result<Value, String> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).http_status_as_error(false).build().into();
        let mut request = agent.get(format!("http://{}/api/v1/{path}", self.address));
        if let Some(query) = query {
            request = request.query("query", query);
        }
        let body = request.call().and_then(|mut answer| answer.body_mut().read_to_string()).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body) }
    }

    /// The series that an expression gives now: each with `metric` (its labels) and `value` (time and number).
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut data = self.ask("query", Some(expression))?;
        match data["result"].take() {
            Value::Array(series) if data["resultType"] == "vector" => Ok(series),
            other => Err(format!("no series but {other}")),
        }
    }

    /// The number of the one series that an expression gives.
    pub fn number(&self, expression: &str) -> Option<f64> {
        self.query(expression).ok()?.first()?["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
