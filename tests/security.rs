//! What a stranger can do to the open port, and what is never told: the real binary, a real PostgreSQL.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::database::Database;
use support::process::{Daemon, binary, nerd, until};

const LONG: Duration = Duration::from_secs(240);

async fn serving(database: &Database, arguments: &[&str]) -> Daemon {
    let daemon = Daemon::start(&database.url, &[&["--workers", "1"], arguments].concat());
    until("the daemon serves", LONG, || async { daemon.get("/livez").is_some() }).await;
    daemon
}

fn connect(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(daemon.address().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// What comes back until the daemon closes; that it closes is part of the answer.
fn answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    if let Err(error) = stream.read_to_end(&mut read) {
        assert!(error.kind() == std::io::ErrorKind::ConnectionReset, "the connection stays open: {error}");
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Sends what the daemon takes of a request; it may hang up before the end.
fn exchange(daemon: &Daemon, request: &[u8]) -> String {
    let mut stream = connect(daemon);
    let _ = stream.write_all(request);
    answer(&mut stream)
}

/// The status; `None` where it just hung up.
fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

fn request(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: nerd\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn only_what_is_offered_is_served() {
    let database = Database::migrated(false).await;
    let daemon = serving(&database, &[]).await;
    for path in ["/metrics", "/livez"] {
        assert_eq!(status(&exchange(&daemon, &request(&format!("GET {path} HTTP/1.1")))), Some(200), "{path}");
    }
    for path in [
        "/../../../../../../etc/passwd",
        "/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/metrics/../config/nerd.toml",
        "/metrics/",
        "/metrics%00.html",
        "/config/nerd.toml",
        "/.git/config",
        "/Cargo.toml",
        "/livez/livez",
        "/debug/pprof",
    ] {
        let answer = exchange(&daemon, &request(&format!("GET {path} HTTP/1.1")));
        assert!(matches!(status(&answer), Some(400 | 404)), "{path}: {answer}");
        for content in ["root:", "[claim]", "[package]", "nerd_build_info", "\"live\""] {
            assert!(!answer.contains(content), "{path} shows {content}: {answer}");
        }
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "SHUTDOWN"] {
            let answer = exchange(&daemon, &request(&format!("{method} {path} HTTP/1.1\r\nContent-Length: 0")));
            assert!(matches!(status(&answer), Some(404 | 405)), "{method} {path}: {answer}");
        }
        // Whether it is answered or refused, it has no body.
        let head = exchange(&daemon, &request(&format!("HEAD {path} HTTP/1.1")));
        assert!(head.split_once("\r\n\r\n").is_some_and(|(_, body)| body.is_empty()), "HEAD {path}: {head}");
    }
    assert_eq!(daemon.get("/livez").unwrap().0, 200);
}

#[tokio::test]
async fn what_is_too_large_is_refused_unread() {
    let database = Database::migrated(false).await;
    let daemon = serving(&database, &[]).await;
    until("the model is loaded", LONG, || async { daemon.get("/readyz").is_some_and(|(status, _)| status == 200) }).await;
    let before = daemon.metric("process_resident_memory_bytes").unwrap();
    let long = "a".repeat(4 << 20);
    let many: String = (0..2_000).map(|number| format!("X-{number}: y\r\n")).collect();
    for (what, request) in [
        ("a request line", format!("GET /{long} HTTP/1.1\r\nHost: nerd\r\n\r\n")),
        ("a header", format!("GET /livez HTTP/1.1\r\nHost: nerd\r\nX-Long: {long}\r\n\r\n")),
        ("many headers", format!("GET /livez HTTP/1.1\r\nHost: nerd\r\n{many}\r\n")),
        ("no HTTP", format!("\0\u{1}{long}\r\n\r\n")),
        (
            "a body where none belongs",
            format!("POST /metrics HTTP/1.1\r\nHost: nerd\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n{long}"),
        ),
        ("two lengths", "GET /livez HTTP/1.1\r\nHost: nerd\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na".to_owned()),
    ] {
        // What it may still read of a refused request is bounded by time.
        let begun = Instant::now();
        let answer = exchange(&daemon, request.as_bytes());
        assert!(status(&answer).is_none_or(|status| (400..500).contains(&status)), "{what}: {answer}");
        assert!(begun.elapsed() < Duration::from_secs(25), "{what}: closed after {:?}", begun.elapsed());
    }
    assert_eq!(daemon.get("/livez").unwrap().0, 200);
    let growth = daemon.metric("process_resident_memory_bytes").unwrap() - before;
    assert!(growth < 64e6, "{growth} bytes more after six requests of {} bytes", long.len());
}

#[tokio::test]
async fn a_slow_client_is_cut_off() {
    let database = Database::migrated(false).await;
    let daemon = serving(&database, &[]).await;
    let mut stream = connect(&daemon);
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begun = Instant::now();
    let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: nerd\r\nX-Slow: ");
    // A byte now and then, for as long as it is taken.
    let closed = loop {
        let mut read = [0; 1024];
        match stream.read(&mut read) {
            Ok(0) => break true,
            Ok(length) => assert!(read.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&read[..length])),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break true,
        }
        if begun.elapsed() > Duration::from_secs(20) {
            break false;
        }
        let _ = stream.write_all(b"a");
    };
    assert!(closed, "still open after {:?}", begun.elapsed());
    assert_eq!(daemon.get("/livez").unwrap().0, 200);
}

fn sockets(daemon: &Daemon) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.child.id())).unwrap();
    files
        .filter(|file| {
            file.as_ref().is_ok_and(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")))
        })
        .count()
}

/// More of them than are let in, none of which says a word.
#[tokio::test]
async fn connections_are_bounded_and_the_silent_ones_end() {
    const CROWD: usize = 600;
    let database = Database::migrated(false).await;
    let daemon = serving(&database, &[]).await;
    let before = sockets(&daemon);
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(&daemon)).collect();
    until("many are let in", LONG, || async { sockets(&daemon) > before + 100 }).await;
    let (mut most, begun) = (0, Instant::now());
    while begun.elapsed() < Duration::from_secs(2) {
        most = most.max(sockets(&daemon));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(most <= before + 270, "{most} sockets, {before} of them before");
    until("a probe is answered beside them", Duration::from_secs(60), || async {
        daemon.get("/livez").is_some_and(|(status, _)| status == 200)
    })
    .await;
    until("the silent ones are gone", Duration::from_secs(60), || async { sockets(&daemon) <= before + 8 }).await;
    drop(crowd);
}

/// A name as no other text has it.
const NAME: &str = "Gwendolyn Quellwick";

/// At the most talkative level, over an article that is done and one whose rows the host refuses.
#[tokio::test]
async fn neither_password_nor_text_is_told() {
    let database = Database::migrated(true).await;
    database
        .client
        .batch_execute("ALTER TABLE article_entities ADD CONSTRAINT no_saints CHECK (entity_norm NOT LIKE '%quellwick%')")
        .await
        .unwrap();
    database.article("told", "Zebulon Marsh lives in Columbia, Missouri.").await;
    database.article("refused", &format!("{NAME} lives in Columbia, Missouri, said {NAME} on Monday.")).await;
    let mut daemon = serving(&database, &["--set", "log.level=trace", "--set", "retry.max_attempts=1"]).await;
    until("one done, one quarantined", LONG, || async {
        database.count("nerd.jobs").await == 1 && database.count("nerd.jobs WHERE state = 'quarantined'").await == 1
    })
    .await;
    let password = database.url.split(':').nth(2).unwrap().split('@').next().unwrap();
    assert!(password.len() > 8);
    let wrong = database.url.replace(password, "swordfish-of-no-use");
    let mut told = vec![("/metrics", daemon.get("/metrics").unwrap().1), ("/readyz", daemon.get("/readyz").unwrap().1)];
    let output =
        |output: std::process::Output| format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for arguments in [&["check"][..], &["check", "--json"], &["status"], &["status", "--json"], &["--set", "log.level=trace", "status"]] {
        told.push(("a command", output(nerd(&database.url, arguments))));
    }
    for arguments in [&["check"][..], &["status"], &["run", "--set", "http.address=127.0.0.1:0"], &["extract"]] {
        let refused = nerd(&wrong, &[arguments, &["--set", "log.level=trace"]].concat());
        assert!(!refused.status.success());
        let refused = output(refused);
        assert!(refused.contains("password"), "{arguments:?} says what is wrong: {refused}");
        told.push(("a command with a wrong password", refused));
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0), "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("no_saints"), "the host's refusal is logged: {log}");
    told.push(("the log", log));
    for (place, text) in told {
        assert!(!text.is_empty(), "{place} says something");
        for secret in [password, "swordfish", "Quellwick", "quellwick", "Zebulon", "Marsh"] {
            assert!(!text.contains(secret), "{place} tells {secret:?}: {text}");
        }
    }
}

/// A configuration file with a slip is shown by its place, and not its lines: one may hold the password.
#[test]
fn a_slip_in_the_file_tells_no_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nerd.toml");
    for line in [
        "url = \"postgresql://nerd:swordfish@db/news",
        "url = postgresql://nerd:swordfish@db/news",
        "url = \"a\" # swordfish\nurl = \"swordfish\"",
        "url = [\"swordfish\"]",
    ] {
        std::fs::write(&file, format!("[database]\n{line}\n")).unwrap();
        let output = binary().args(["check", "--config", file.to_str().unwrap()]).output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("nerd.toml") && !told.contains("swordfish"), "{told}");
    }
}

/// A password with signs that a URL gives a meaning: the complaint quotes none of it.
#[test]
fn a_url_that_cannot_be_read_is_not_quoted() {
    for password in [
        "swordfish?a=b",
        "swordfish?",
        "a?swordfish=b",
        "a?swordfish",
        "a/swordfish",
        "a@swordfish:x",
        "swordfish:b",
        "%swordfish",
        "a?sslmode=swordfish",
    ] {
        let output = nerd(&format!("postgresql://nerd:{password}@127.0.0.1:9/news"), &["status", "--set", "database.connect_timeout=1s"]);
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && !told.contains("swordfish"), "{password}: {told}");
    }
}
