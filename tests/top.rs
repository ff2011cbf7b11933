//! `nerd top` against the real daemon: once as lines and as JSON, and live in a pseudo-terminal whose bytes a terminal's own parser
//! reads.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use support::database::Database;
use support::process::{Daemon, binary, until};

const LIMIT: Duration = Duration::from_secs(60);
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;
/// Makes a test of this file its own child: the value is what the child does.
const CHILD: &str = "TOP_TEST_CHILD";

fn cells(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

/// A program in a terminal of its own, which is its controlling one, as a login's is.
struct Session {
    child: Child,
    terminal: File,
    /// The program's side, held open: what was written can be read after its end.
    own: File,
    parser: Arc<Mutex<vt100::Parser>>,
}

impl Session {
    fn start(program: &Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let own = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&own, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let side = || Stdio::from(own.try_clone().unwrap());
        // `setsid` becomes the program itself: it is no group's leader here.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args()).current_dir(env!("CARGO_MANIFEST_DIR"));
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TERM", "xterm-256color").env_remove("COLUMNS").env_remove("LINES");
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let terminal = File::from(terminal);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(cells(ROWS), cells(COLUMNS), 0)));
        let (mut reader, heard) = (terminal.try_clone().unwrap(), Arc::clone(&parser));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                heard.lock().unwrap().process(&bytes[..length]);
            }
        });
        Self { child, terminal, own, parser }
    }

    fn screen(&self) -> vt100::Screen {
        self.parser.lock().unwrap().screen().clone()
    }

    #[track_caller]
    fn wait_for(&mut self, what: &str, so: impl Fn(&vt100::Screen) -> bool) {
        let started = Instant::now();
        while !so(&self.screen()) {
            let ended = self.child.try_wait().unwrap();
            assert!(started.elapsed() < LIMIT, "not within {LIMIT:?}: {what} ({ended:?})\n{}", self.screen().contents());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        self.wait_for(text, |screen| screen.contents().contains(text));
    }

    fn types(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        self.parser.lock().unwrap().screen_mut().set_size(cells(rows), cells(columns));
        tcsetwinsize(&self.own, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// Lines and echo are the terminal's work again, and what was on it before is what is seen.
    #[track_caller]
    fn ends(&mut self, code: Option<i32>) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < LIMIT, "still there:\n{}", self.screen().contents());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), code, "{}", self.screen().contents());
        self.wait_for("the screen is given back", |screen| !screen.alternate_screen() && !screen.hide_cursor());
        let modes = tcgetattr(&self.own).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON), "the terminal is still raw: {modes:?}");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn top(url: &str, arguments: &[&str]) -> Command {
    let mut command = binary();
    command.args(["top", "--url", url, "--interval", "200ms"]).args(arguments);
    command
}

/// An address at which nobody answers.
fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn the_real_daemon_once_and_live() {
    let database = Database::migrated(true).await;
    database.article("a-1", "Harriet Quimby flew from Dover to Hardelot for the Boston Herald.").await;
    let mut daemon = Daemon::start(&database.url, &["--workers", "2", "--set", "http.show_text=true"]);
    until("the article is done and the page knows it", LIMIT, async || {
        daemon.get("/status.json").is_some_and(|(_, body)| {
            body.contains("\"article\":\"a-1\"") && body.contains("\"baseline\":") && {
                let status: serde_json::Value = serde_json::from_str(&body).unwrap();
                status["memory"]["baseline"].as_u64() > Some(0) && !status["course"]["seconds"].as_array().unwrap().is_empty()
            }
        })
    })
    .await;
    let address = daemon.address().unwrap();

    // Once, as lines: this test's output is no terminal.
    for arguments in [&[][..], &["--once"]] {
        let output = top(&address, arguments).output().unwrap();
        let written = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{written}{}", String::from_utf8_lossy(&output.stderr));
        for expected in
            [": ready\n", "promise    [kept] Weights are read once: 1 read", "worker      0 ready", "stage      infer", "a-1 (gazette)"]
        {
            assert!(written.contains(expected), "{expected:?} is not in\n{written}");
        }
        assert!(!written.contains('\u{1b}') && !written.contains("Hardelot"), "{written}");
    }

    // The daemon's own words.
    let output = top(&address, &["--json"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && status["totals"]["done"] == 1 && status["articles"]["recent"][0]["pieces"].is_array(), "{status}");

    let mut command = top(&address, &[]);
    command.env_remove("NO_COLOR");
    let mut session = Session::start(&command);
    session.shows("kept   Weights are read once");
    assert!(session.screen().alternate_screen());
    assert!(session.screen().contents_formatted().as_bytes().windows(5).any(|bytes| bytes == b"\x1b[32m"), "it is coloured");
    for text in ["[ready] nerd", "workers (2)", "memory ", "words ", "infer", "q quit"] {
        session.shows(text);
    }
    session.types("\t\t");
    session.shows("> last articles (1)");
    session.types("\r");
    session.shows("a-1 (gazette) 11 words");
    assert!(!session.screen().contents().contains("Hardelot"));
    session.types("\r?");
    session.shows("hold this moment");
    session.types("?p");
    session.shows("HELD since");
    session.types("p");
    session.resize(50, 160);
    session.wait_for("every list at once", |screen| {
        ["last errors (0", "in quarantine (0", "> last articles (1"].iter().all(|list| screen.contents().contains(list))
    });
    session.resize(ROWS, COLUMNS);

    daemon.signal("TERM");
    assert_eq!(daemon.wait(LIMIT), Some(0));
    session.shows("AWAY since");
    session.shows("no daemon answers at");
    session.shows("kept   Weights are read once");
    session.types("q");
    session.ends(Some(0));
}

#[test]
fn without_a_daemon_the_view_waits_and_the_rest_says_what_to_do() {
    let address = nobody();
    for arguments in [&[][..], &["--once"], &["--json"]] {
        let output = top(&address, arguments).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("no daemon answers at http://{address}")) && told.contains("ssh -L"), "{told}");
        assert!(output.stdout.is_empty());
    }
    let mut session = Session::start(&top(&address, &[]));
    session.shows("AWAY since");
    session.shows("attempt 3 failed, the next follows");
    let formatted = session.screen().contents_formatted();
    let coloured = formatted.as_bytes().windows(4).any(|bytes| matches!(bytes, [0x1b, b'[', b'3' | b'4', b'0'..=b'8']));
    assert!(!coloured, "NO_COLOR is set: {formatted}");
    session.types("\u{3}");
    session.ends(Some(0));
}

#[test]
fn a_signal_gives_the_terminal_back() {
    for signal in ["TERM", "HUP", "INT"] {
        let mut session = Session::start(&top(&nobody(), &[]));
        session.shows("AWAY since");
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", session.child.id())).status().unwrap();
        assert!(sent.success());
        session.ends(Some(0));
    }
}

/// The test is its own child in a terminal, and panics there with the screen taken.
#[test]
fn a_panic_gives_the_terminal_back() {
    const NAME: &str = "a_panic_gives_the_terminal_back";
    if std::env::var(CHILD).is_ok_and(|value| value == NAME) {
        let _screen = nerd::cli::top::screen::Screen::open().unwrap();
        panic!("on cue");
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture", "--test-threads=1"]).env(CHILD, NAME).env("RUST_BACKTRACE", "0");
    let mut session = Session::start(&command);
    session.shows("on cue");
    session.ends(Some(101));
    assert!(session.screen().contents().contains("on cue"), "its message is where it can be read");
}

#[test]
fn bad_arguments_are_told_apart() {
    for (arguments, expected) in [
        (["--url", "https://news-1:8080"], "ssh -L"),
        (["--url", "http://user:secret@news-1"], "the daemon asks for no name or password"),
        (["--interval", "1ms"], "between 100ms and 1h"),
    ] {
        let output = binary().arg("top").args(arguments).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(expected), "{told}");
    }
}
