//! The service as systemd sees it: the real binary with a notification socket, on no database at all.

mod support;

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::process::binary;

#[test]
fn systemd_is_told_ready_and_alive_while_the_database_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut child = binary()
        // Nobody listens on the port of discard.
        .env("DATABASE_URL", "postgresql://nobody:x@127.0.0.1:9/none")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "60000000")
        .args(["run", "--set", "http.address=127.0.0.1:0", "--workers", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut told, started, mut buffer) = (BTreeSet::new(), Instant::now(), [0; 4096]);
    let wanted = |told: &BTreeSet<String>| {
        ["READY=1", "WATCHDOG=1"].iter().all(|line| told.contains(*line))
            && told.iter().any(|line| line.starts_with("STATUS=") && line.contains("the database is away"))
    };
    while !wanted(&told) && started.elapsed() < Duration::from_secs(120) {
        let Ok(length) = socket.recv(&mut buffer) else { break };
        told.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
    }
    let _ = child.kill();
    let _ = child.wait();
    assert!(wanted(&told), "{told:?}");
}
