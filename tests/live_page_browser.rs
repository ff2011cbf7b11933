//! The live page as people have it: the real program on a real PostgreSQL, looked at in a real Chromium. Its pictures are in
//! `target/live-page/`.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::articles::samples;
use support::chromium::{Page, program};
use support::database::Database;
use support::process::{Daemon, until};

const LONG: Duration = Duration::from_secs(240);
const SHORT: Duration = Duration::from_secs(20);

/// Every text that is drawn on too little contrast: 4.5 to 1, large ones 3 to 1 (WCAG 2.2, 1.4.3).
const TOO_FAINT: &str = r#"(() => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !element.checkVisibility() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(style.color), light(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)} ${element.textContent.slice(0, 40)}`);
  }
  return faint;
})()"#;

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/live-page").join(name)
}

/// A daemon at the end of its queue: the samples done, one with markup in it, and two in quarantine.
async fn at_work(settings: &[&str]) -> (Database, Daemon) {
    let database = Database::migrated(true).await;
    for (name, text) in samples() {
        database.article(&name, &text).await;
    }
    for (id, error) in [
        ("70-torn-page", "no progress for 60 s"),
        ("71-endless-list", "worker 1: the text has 3,100,204 words, more than the engine reads"),
    ] {
        database.article(id, "Never to be claimed.").await;
        let sql = "UPDATE nerd.jobs SET state = 'quarantined', quarantined_at = now(), attempts = 5, error = $2 WHERE article_id = $1";
        assert_eq!(database.client.execute(sql, &[&id, &error]).await.unwrap(), 1);
    }
    let daemon = Daemon::start(&database.url, &[&["--workers", "2", "--set", "claim.batch_articles=8"], settings].concat());
    until("the samples are done", LONG, || async {
        daemon.metric("nerd_articles_total{outcome=\"done\"}") == Some(samples().len() as f64)
    })
    .await;
    (database, daemon)
}

fn open(program: &Path, daemon: &Daemon, width: u32, height: u32) -> Page {
    let mut page = Page::open(program, width, height);
    page.go(&format!("http://{}/", daemon.address().unwrap()));
    page.until("document.querySelectorAll('#promise li').length === 4 && document.querySelectorAll('#articles li').length > 0", SHORT);
    page
}

fn lines(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn it_is_readable_in_light_and_dark_on_a_desk_and_on_a_phone() {
    let Some(program) = program() else { return };
    let (database, daemon) = at_work(&["--set", "http.show_text=true"]).await;
    database
        .article("80-markup", "<img src=x onerror=\"document.title='taken'\"><b>Ann Lee</b> of Columbia met </script> Otto Brown.")
        .await;
    let mut page = open(&program, &daemon, 1280, 900);
    page.until(
        "document.querySelectorAll('#memory-chart .line').length === 1 && document.querySelectorAll('#quarantine strong').length === 2",
        SHORT,
    );
    page.until("document.querySelector('#articles').innerText.includes('80-markup')", SHORT);

    // Texts are texts.
    assert_eq!(page.evaluate("document.querySelectorAll('#articles img, #articles b').length"), json!(0));
    assert_eq!(page.evaluate("document.querySelector('#articles').innerText.includes('<img src=x onerror=')"), json!(true));
    let marked = lines(&page.evaluate("[...document.querySelectorAll('#articles mark')].map((mark) => mark.innerText)"));
    assert!(marked.iter().any(|mark| mark.contains("Ann Lee") && mark.contains("PERSON")), "{marked:?}");

    // What a screen reader is told.
    let tree = page.accessible();
    let has = |role: &str, name: &str| tree.iter().any(|(own, said)| own == role && said.contains(name));
    for heading in ["The promise", "Memory and pace", "Workers", "Queue", "Stages", "Last articles", "Last errors", "Quarantine"] {
        assert!(has("heading", heading), "no heading {heading} in {tree:?}");
    }
    assert!(has("image", "when every worker was warm") && has("image", "words") || has("image", "since the start"), "{tree:?}");
    assert!(has("button", "Pause updates") && has("radio", "24 hours") && has("table", "Where the time of a batch goes"), "{tree:?}");
    assert!(has("rowheader", "infer") && tree.iter().any(|(role, _)| role == "status"), "{tree:?}");
    assert_eq!(page.evaluate("document.documentElement.lang"), json!("en"));
    assert_eq!(
        page.evaluate("new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size === document.querySelectorAll('[id]').length"),
        json!(true)
    );

    for scheme in ["light", "dark"] {
        page.scheme(scheme);
        for (width, name) in [(1280, "desk"), (360, "phone")] {
            page.resize(width, 900);
            page.until(&format!("innerWidth === {width}"), SHORT);
            assert_eq!(lines(&page.evaluate(TOO_FAINT)), Vec::<String>::new(), "{scheme} {name}");
            let wide = page.evaluate("[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && !e.closest('svg, .skip, .unseen') && e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => `${e.tagName} ${e.className}`)");
            assert_eq!(lines(&wide), Vec::<String>::new(), "over the edge: {scheme} {name}");
            page.screenshot(&picture(&format!("{scheme}-{name}.png")), 4000);
        }
    }
    let dark = page.evaluate("getComputedStyle(document.body).backgroundColor");
    page.scheme("light");
    assert_ne!(page.evaluate("getComputedStyle(document.body).backgroundColor"), dark);
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[tokio::test]
async fn it_follows_the_work_obeys_the_keyboard_and_tells_when_it_sees_nothing() {
    let Some(program) = program() else { return };
    let (database, mut daemon) = at_work(&[]).await;
    let mut page = open(&program, &daemon, 1000, 800);
    page.until("document.querySelector('#state').innerText === 'At work'", SHORT);
    assert!(page.evaluate("document.querySelector('#promise').innerText").as_str().unwrap().contains("1 read"));
    let text = page.evaluate("document.body.innerText").as_str().unwrap().to_owned();
    assert!(text.contains("http.show_text = true") && page.evaluate("document.querySelectorAll('mark').length") == json!(0), "{text}");
    page.until("document.querySelectorAll('#memory-chart .line').length === 1", SHORT);

    // By the keyboard alone: past the link to the content, to the pause, and to the range; what has the focus is seen to.
    page.press("Tab");
    assert_eq!(page.evaluate("document.activeElement.className"), json!("skip"));
    assert_eq!(page.evaluate("document.activeElement.getBoundingClientRect().left >= 0"), json!(true));
    page.press("Tab");
    assert_eq!(page.evaluate("document.activeElement.id"), json!("pause"));
    assert_eq!(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"), json!("solid"));
    page.press("Space");
    assert_eq!(page.evaluate("document.activeElement.getAttribute('aria-pressed')"), json!("true"));
    database.article("90-late", "Ann Lee came to Columbia.").await;
    until("the late article", LONG, || async {
        daemon.metric("nerd_articles_total{outcome=\"done\"}") == Some(samples().len() as f64 + 1.0)
    })
    .await;
    // The page has heard of it and keeps still.
    page.until("articles.recent[0].article === '90-late'", SHORT);
    assert_eq!(page.evaluate("document.querySelector('#articles').innerText.includes('90-late')"), json!(false));
    page.press("Space");
    page.until("document.querySelector('#articles').innerText.includes('90-late')", SHORT);
    page.press("Tab");
    page.press("ArrowRight");
    assert_eq!(page.evaluate("document.querySelector('input[name=range]:checked').value"), json!("minutes"));
    page.until("document.querySelector('#memory-said').innerText.includes('MB now')", SHORT);
    assert_eq!(page.complaints, Vec::<String>::new());

    // The process is frozen, goes on, and is gone.
    daemon.signal("STOP");
    page.until("document.querySelector('#state').innerText.startsWith('Reconnecting: last seen')", SHORT);
    daemon.signal("CONT");
    page.until("document.querySelector('#state').innerText === 'At work' && !document.body.dataset.lost", SHORT);
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0), "a watcher holds nothing up: {}", daemon.log());
    page.until("document.querySelector('#state').innerText.startsWith('Reconnecting: last seen')", SHORT);
    assert_eq!(page.evaluate("document.querySelector('#state').getAttribute('role')"), json!("status"));
    page.screenshot(&picture("lost.png"), 900);
}

/// A seventeenth watcher sees the page too.
#[tokio::test]
async fn where_the_stream_is_refused_it_asks_now_and_then() {
    let Some(program) = program() else { return };
    let (_database, daemon) = at_work(&[]).await;
    let address = daemon.address().unwrap();
    let mut watching = Vec::new();
    for _ in 0..16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(format!("GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
        assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
        // Read on, as a watcher does.
        watching.push(tokio::spawn(async move { while stream.read(&mut [0; 65_536]).await.is_ok_and(|read| read > 0) {} }));
    }
    // The runtime must read for the watchers while the browser is waited for.
    tokio::task::spawn_blocking(move || {
        let mut page = open(&program, &daemon, 1000, 800);
        page.until("document.querySelector('#state').innerText === 'At work'", SHORT);
        let first = page.evaluate("latest.at").as_f64().unwrap();
        page.until(&format!("latest.at > {first} && !document.body.dataset.lost"), SHORT);
    })
    .await
    .unwrap();
    watching.iter().for_each(tokio::task::JoinHandle::abort);
}
