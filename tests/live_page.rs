//! The live page over HTTP: what it may load, who may see it, how many may watch, and that not a word of an article is anywhere in it
//! unless it was asked for.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use nerd::http::{Parts, serve};
use nerd::live::{Live, LiveOptions};
use nerd::metrics::Metrics;
use serde_json::Value;
use support::rig::{Rig, Setting};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn parts() -> Parts {
    let live = Live::new(LiveOptions { workers: 2, ..LiveOptions::default() });
    Parts { metrics: Metrics::new(), health: std::sync::Arc::default(), live }
}

fn served(parts: &Parts) -> SocketAddr {
    serve("127.0.0.1:0".parse().unwrap(), parts.clone()).unwrap().0
}

/// A request as it goes over the wire; what follows is read by whoever asked.
async fn asked(address: SocketAddr, path: &str, host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// The whole answer, head and body, of something that ends.
async fn answer(address: SocketAddr, path: &str, host: &str) -> String {
    let (mut stream, mut bytes) = (asked(address, path, host).await, Vec::new());
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until the text was seen, or the end.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut seen, mut buffer) = (String::new(), vec![0; 65_536]);
    while !seen.contains(text) {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    seen
}

/// A header's value.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines().filter_map(|line| line.split_once(": ")).find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn nonce(answer: &str) -> &str {
    answer.split("<script nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script with a nonce")
}

#[actix::test]
async fn the_page_loads_nothing_and_its_policy_says_so() {
    let address = served(&parts());
    let (first, second) = (answer(address, "/", "localhost").await, answer(address, "/", "localhost").await);
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    let policy = header(&first, "content-security-policy").unwrap();
    for rule in ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy} has no {rule}");
    }
    assert!(policy.contains(&format!("script-src 'nonce-{}';", nonce(&first))), "{policy}");
    assert!(policy.contains(&format!("style-src 'nonce-{}';", nonce(&first))) && !policy.contains("unsafe"), "{policy}");
    assert!(nonce(&first).len() >= 32 && nonce(&first) != nonce(&second), "drawn anew for each answer");
    for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
        assert_eq!(header(&first, name), Some(value));
    }
    assert_eq!(header(&first, "content-type"), Some("text/html; charset=utf-8"));
}

#[actix::test]
async fn what_serves_this_machine_answers_to_no_other_name() {
    let address = served(&parts());
    for path in ["/", "/status.json", "/events"] {
        let refused = answer(address, path, "evil.example:8080").await;
        assert!(refused.starts_with("HTTP/1.1 421") && !refused.contains("promise"), "{path}: {refused}");
    }
    assert!(answer(address, "/status.json", &address.to_string()).await.starts_with("HTTP/1.1 200"));
    assert!(answer(address, "/metrics", "nerd.monitoring.svc").await.starts_with("HTTP/1.1 200"), "scraped under any name");
}

#[actix::test]
async fn the_stream_tells_everything_then_the_present_and_ends_with_the_process() {
    let parts = parts();
    let address = served(&parts);
    let mut stream = asked(address, "/events", "localhost").await;
    let begun = read_until(&mut stream, "event: articles").await;
    assert_eq!(header(&begun, "content-type"), Some("text/event-stream"), "{begun}");
    let places: Vec<usize> =
        ["retry: ", "event: course\n", "event: status\n", "event: articles"].iter().map(|event| begun.find(event).unwrap()).collect();
    assert!(places.is_sorted(), "{begun}");
    let next = read_until(&mut stream, "event: status").await;
    assert!(!next.contains("event: course"), "told once: {next}");
    parts.health.draining();
    let rest = tokio::time::timeout(Duration::from_secs(5), read_until(&mut stream, "nothing says this")).await.expect("the stream ends");
    assert!(rest.contains("\"draining\":true"), "{rest}");
}

#[actix::test]
async fn sixteen_watch_and_no_more() {
    let address = served(&parts());
    let mut watching = Vec::new();
    for _ in 0..16 {
        let mut stream = asked(address, "/events", "localhost").await;
        assert!(read_until(&mut stream, "event: status").await.starts_with("HTTP/1.1 200"));
        watching.push(stream);
    }
    let refused = answer(address, "/events", "localhost").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("/status.json"), "{refused}");
    assert!(answer(address, "/status.json", "localhost").await.starts_with("HTTP/1.1 200"), "which is told to as many as ask");
    // One that goes makes room, as soon as it is missed.
    drop(watching.pop());
    support::process::until("room for one more", Duration::from_secs(10), || async {
        let mut stream = asked(address, "/events", "localhost").await;
        read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 200")
    })
    .await;
}

/// One article that is done, one that is not to be done, and what is told of both.
async fn told(show_text: bool) -> (Value, String) {
    let articles = [("good", "Harriet Quimby flew to secret places"), ("bad", "Otto said an unspoken word [[text-error]]")];
    let rig = Rig::start(&articles, Setting { show_text, ..Setting::default() });
    rig.until("both settled and told of", |rig| !rig.live.in_quarantine().is_empty() && rig.live.recent_articles().0 > 0).await;
    rig.until("a course", |rig| rig.live.course().seconds.len() > 3).await;
    let parts = Parts { metrics: rig.metrics.clone(), health: rig.health.clone(), live: rig.live.clone() };
    let address = served(&parts);
    let status = answer(address, "/status.json", "localhost").await;
    let mut all = answer(address, "/", "localhost").await;
    all.push_str(&status);
    all.push_str(&read_until(&mut asked(address, "/events", "localhost").await, "event: articles").await);
    let body = status.split_once("\r\n\r\n").unwrap().1;
    let json = body.find('{').zip(body.rfind('}')).map(|(from, to)| serde_json::from_str(&body[from..=to]).unwrap());
    (json.unwrap(), all)
}

#[actix::test]
async fn without_show_text_not_a_word_is_anywhere() {
    let (status, all) = told(false).await;
    for word in ["Harriet", "Quimby", "secret", "Otto", "unspoken"] {
        assert!(!all.contains(word), "{word} is in it");
    }
    assert_eq!(status["shows_text"], false);
    let article = &status["articles"]["recent"][0];
    assert_eq!((&article["article"], &article["source"], &article["found"]["NAME"]), (&"good".into(), &"gazette".into(), &2.into()));
    assert!(article["pieces"].is_null(), "{article}");
}

#[actix::test]
async fn with_show_text_names_are_apart_from_what_is_between() {
    let (status, all) = told(true).await;
    assert!(all.matches("Harriet").count() >= 2, "in the stream and in the status");
    let pieces = status["articles"]["recent"][0]["pieces"].as_array().unwrap();
    let shown: Vec<(&str, Option<&str>)> = pieces.iter().map(|piece| (piece["text"].as_str().unwrap(), piece["label"].as_str())).collect();
    let expected = [("Harriet", Some("NAME")), (" ", None), ("Quimby", Some("NAME")), (" flew to secret places", None)];
    assert_eq!(shown, expected);
}

#[actix::test]
async fn failures_are_told_with_their_reasons_and_workers_with_their_deeds() {
    let (status, _) = told(false).await;
    let quarantined = &status["quarantine"][0];
    assert_eq!((&quarantined["article"], &quarantined["attempts"]), (&"bad".into(), &5.into()));
    assert!(quarantined["error"].as_str().unwrap().contains("text error on cue"), "{quarantined}");
    let error = &status["errors"][0];
    assert_eq!((&error["kind"], &error["article"], &error["times"]), (&"article".into(), &"bad".into(), &5.into()));
    let workers = status["workers"].as_array().unwrap();
    assert!(workers.len() == 2 && workers.iter().all(|worker| worker["state"] == "ready"), "{workers:?}");
    assert!(workers.iter().map(|worker| worker["calls"].as_u64().unwrap()).sum::<u64>() >= 5, "{workers:?}");
    assert_eq!((&status["totals"]["done"], &status["totals"]["quarantined"]), (&1.into(), &1.into()));
    assert!(status["course"]["seconds"][0][1].as_u64().unwrap() > 1 << 20, "{}", status["course"]);
    // The scripted engine reads no weights, so the first line of the promise has nothing to judge.
    let standings: Vec<&str> = status["promise"].as_array().unwrap().iter().map(|line| line["standing"].as_str().unwrap()).collect();
    assert_eq!(standings, ["open", "kept", "kept", "look"]);
}
