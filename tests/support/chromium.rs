//! A real Chromium without a window, driven over its DevTools protocol. On two pipes: no port, no second protocol below, and when the
//! test ends, so does it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Where Chromium lies; brings it where it is missing. `None` only where somebody asked to go without.
pub fn program() -> Option<PathBuf> {
    if std::env::var_os("NERD_WITHOUT_CHROMIUM").is_some_and(|value| value == "1") {
        eprintln!("NERD_WITHOUT_CHROMIUM=1: THE LIVE PAGE IS NOT TESTED IN A BROWSER");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/setup/chromium.sh");
    let output = Command::new(script).arg("path").output().expect("deploy/setup/chromium.sh runs");
    assert!(
        output.status.success(),
        "no Chromium, so the live page cannot be tested (NERD_WITHOUT_CHROMIUM=1 goes without): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
}

/// A page in a browser of its own.
pub struct Page {
    child: Child,
    orders: ChildStdin,
    told: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What the page complained of: exceptions, refused by its policy, failed requests.
    pub complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Page {
    /// An empty page of this size in CSS pixels.
    pub fn open(program: &Path, width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It reads orders from descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "sh"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--lang=en-GB"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, told) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut page = Self { child, orders, told, session: None, last: 0, complaints: Vec::new(), _profile: profile };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = page.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        page.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.resize(width, height);
        page
    }

    /// Gives an order and waits for its answer.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.orders.write_all(&bytes).unwrap();
        loop {
            let answer = self.told.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: no answer of Chromium: {error}"));
            if answer["id"] == json!(self.last) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(parameters["exceptionDetails"].to_string()),
            "Log.entryAdded" if parameters["entry"]["level"] == "error" => self.complaints.push(parameters["entry"].to_string()),
            _ => {}
        }
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// `light` or `dark`.
    pub fn scheme(&mut self, scheme: &str) {
        self.call("Emulation.setEmulatedMedia", json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }));
    }

    pub fn go(&mut self, address: &str) {
        let gone = self.call("Page.navigate", json!({ "url": address }));
        assert!(gone["errorText"].is_null(), "{address}: {gone}");
    }

    /// The value of an expression, evaluated by the debugger: the page's policy binds the page alone.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let result = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Asks until the expression is true.
    pub fn until(&mut self, expression: &str, limit: Duration) {
        let started = Instant::now();
        while self.evaluate(expression) != json!(true) {
            if started.elapsed() > limit {
                let text = self.evaluate("document.body.innerText");
                panic!("not within {limit:?}: {expression}\n{}\n{:?}", text.as_str().unwrap_or_default(), self.complaints);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses a key as a person would.
    pub fn press(&mut self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Space" => ("Space", 32, " "),
            "Enter" => ("Enter", 13, "\r"),
            "ArrowRight" => ("ArrowRight", 39, ""),
            _ => panic!("which key is {key}?"),
        };
        let named = if key == "Space" { " " } else { key };
        let down = json!({ "type": if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "key": named, "code": code, "windowsVirtualKeyCode": number, "text": text });
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": named, "code": code, "windowsVirtualKeyCode": number }));
    }

    /// Everything with a role and a name, as a screen reader is told of it.
    pub fn accessible(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let text = |node: &Value, field: &str| node[field]["value"].as_str().unwrap_or_default().to_owned();
        tree["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|node| node["ignored"] != json!(true))
            .map(|node| (text(node, "role"), text(node, "name")))
            .collect()
    }

    /// The whole page as a PNG, from its head to its foot or to `most` CSS pixels.
    pub fn screenshot(&mut self, file: &Path, most: u32) {
        let size = self.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]");
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1].as_f64().unwrap().min(most.into()), "scale": 1 });
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }));
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes are no picture of the page", png.len());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, png).unwrap();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
