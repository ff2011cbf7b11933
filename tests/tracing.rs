//! Spans as a collector receives them from the real program, and the log lines that name them.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use support::database::Database;
use support::process::binary;

/// Takes what is posted, for as long as the test lives.
struct Collector {
    endpoint: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>> = Arc::default();
        let received = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                // A connection may bring several.
                while let Some(body) = posted(&mut stream) {
                    received.lock().unwrap().push(ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
            }
        });
        Self { endpoint, requests }
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let scopes = requests.iter().flat_map(|request| &request.resource_spans).flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

fn posted(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Some(body)
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

async fn extract(database: &Database, arguments: &[&str]) -> String {
    let mut command = binary();
    command.env("DATABASE_URL", &database.url).args(["extract", "--profile", "fast", "--set", "log.format=json"]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_batch_is_a_trace_from_its_claim_to_its_commit() {
    let (database, collector) = (Database::migrated(true).await, Collector::start());
    for number in 0..10 {
        database.article(&format!("a{number}"), &format!("Xylophia Quandary came to Columbia {number} times.")).await;
    }
    let endpoint = format!("trace.endpoint={}", collector.endpoint);
    extract(&database, &["--set", &endpoint, "--set", "claim.batch_articles=5"]).await;
    let spans = collector.spans();
    let batches: Vec<&Span> = spans.iter().filter(|span| span.name == "batch").collect();
    assert_eq!(batches.len(), 2, "{spans:?}");
    for batch in batches {
        assert!(batch.parent_span_id.is_empty());
        assert_eq!(attribute(batch, "nerd.articles"), Some(Value::IntValue(5)));
        let below: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == batch.span_id).collect();
        let mut names: Vec<&str> = below.iter().map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, ["claim", "gazetteer", "infer", "reuse", "tokenize", "write"]);
        for span in below {
            assert_eq!(span.trace_id, batch.trace_id);
            assert!(batch.start_time_unix_nano <= span.start_time_unix_nano, "{span:?} in {batch:?}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.end_time_unix_nano <= batch.end_time_unix_nano);
        }
    }
    let resource = collector.requests.lock().unwrap()[0].resource_spans[0].resource.clone().unwrap();
    let name = resource.attributes.iter().find(|attribute| attribute.key == "service.name").unwrap().value.clone().unwrap();
    assert_eq!(name.value, Some(Value::StringValue("nerd".to_owned())));
    let all = format!("{:?}", collector.requests.lock().unwrap());
    assert!(!all.contains("Xylophia") && !all.contains("Columbia"), "no text, no entity in a span");
}

#[tokio::test]
async fn of_so_many_batches_one_is_traced() {
    let (database, collector) = (Database::migrated(true).await, Collector::start());
    for number in 0..64 {
        database.article(&format!("a{number}"), "Ann Lee came to Columbia.").await;
    }
    let endpoint = format!("trace.endpoint={}", collector.endpoint);
    let often = ["--set", &endpoint, "--set", "claim.batch_articles=1", "--set", "reuse.database=false", "--set", "trace.one_in=8"];
    extract(&database, &often).await;
    let batches = collector.spans().iter().filter(|span| span.name == "batch").count();
    // 64 tosses at 1 in 8: none at all once in 5,000, more than half of them never.
    assert!((1..32).contains(&batches), "{batches}");
}

/// What is said of an article names its batch and its trace; a collector that is away is told of once and stops nothing.
#[tokio::test]
async fn lines_name_article_batch_and_trace() {
    let database = Database::migrated(true).await;
    let refuse = "ALTER TABLE article_entities ADD CONSTRAINT none_of_it CHECK (article_id <> 'refused')";
    database.client.batch_execute(refuse).await.unwrap();
    for id in ["refused", "b", "c"] {
        database.article(id, &format!("Ann Lee came to Columbia with {id}.")).await;
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = extract(&database, &["--set", &format!("trace.endpoint=http://{nobody}")]).await;
    let lines: Vec<serde_json::Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = lines.iter().find(|line| line["article"] == "refused").unwrap_or_else(|| panic!("{log}"));
    assert_eq!(line["span"]["trace_id"].as_str().unwrap().len(), 32, "{line}");
    assert_eq!(line["span"]["batch"].as_str().unwrap().len(), 36, "{line}");
    assert_eq!(database.count("article_entities").await, 4, "two rows each of the other two");
    let told = lines.iter().filter(|line| line["message"].as_str().is_some_and(|told| told.contains("spans cannot be sent"))).count();
    assert_eq!(told, 1, "{log}");
}
