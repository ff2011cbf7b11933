//! Spans for whoever traces: one trace a batch, from its claim to its commit, its stages below it, sent over OTLP (HTTP, protobuf) by
//! a thread of its own with a bounded queue; or nothing at all. No span holds a text or an article's id: the log lines that name
//! articles name the trace.
//!
//! Names of the attributes: <https://opentelemetry.io/docs/specs/semconv/>.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use uuid::Uuid;

/// How long one sending may take, and the last one at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where spans go.
pub struct Traces(Option<(SdkTracerProvider, SdkTracer)>);

/// Who the spans are of.
#[derive(Clone, Debug)]
pub struct Origin {
    pub boot_id: Uuid,
    pub host: String,
}

impl Traces {
    /// Nowhere.
    pub fn off() -> Arc<Self> {
        Arc::new(Self(None))
    }

    /// To the collector at this address (`http://host:4318`), one of so many batches.
    pub fn to(endpoint: &str, one_in: u32, origin: Origin) -> Result<Arc<Self>, String> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(endpoint))
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| format!("trace.endpoint {endpoint}: {error}"))?;
        let resource = Resource::builder()
            .with_service_name("nerd")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", origin.boot_id.to_string()),
                KeyValue::new("host.name", origin.host),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::TraceIdRatioBased(1.0 / f64::from(one_in.max(1))))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("nerd");
        Ok(Arc::new(Self(Some((provider, tracer)))))
    }

    /// Begins a batch's trace, at the time when its claim was sent.
    pub fn batch(&self, batch: Uuid, articles: usize, began: SystemTime) -> BatchTrace {
        let Some((_, tracer)) = &self.0 else { return BatchTrace(None) };
        let span = tracer
            .span_builder("batch")
            .with_start_time(began)
            .with_attributes([KeyValue::new("nerd.batch", batch.to_string()), number("nerd.articles", articles as u64)])
            .start_with_context(tracer, &Context::new());
        BatchTrace(Some((tracer.clone(), Context::new().with_span(span))))
    }

    /// Sends what is left; blocks for a few seconds at most.
    pub fn end(&self) {
        if let Some((provider, _)) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(PATIENCE)
        {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// The trace of one batch; ends when it is dropped.
pub struct BatchTrace(Option<(SdkTracer, Context)>);

impl BatchTrace {
    /// Of a batch that is not traced.
    pub fn none() -> Self {
        Self(None)
    }

    /// A stage that ended so many seconds ago, and took so long.
    pub fn stage(&self, name: &'static str, seconds: f64, ago: f64, numbers: &[(&'static str, u64)]) {
        let Some((tracer, batch)) = &self.0 else { return };
        let ended = SystemTime::now() - duration(ago);
        let span = tracer
            .span_builder(name)
            .with_start_time(ended - duration(seconds))
            .with_attributes(numbers.iter().map(|(name, value)| number(name, *value)))
            .start_with_context(tracer, batch);
        batch.with_span(span).span().end_with_timestamp(ended);
    }

    /// Marks the batch as one in which something failed; the message must hold no text.
    pub fn fault(&self, message: &str) {
        if let Some((_, batch)) = &self.0 {
            batch.span().set_status(Status::error(message.to_owned()));
        }
    }

    /// For log lines: the trace's id in hexadecimal; empty where nothing is sent.
    pub fn id(&self) -> String {
        let context = self.0.as_ref().map(|(_, batch)| batch.span().span_context().clone());
        context.filter(|context| context.is_sampled()).map_or_else(String::new, |context| context.trace_id().to_string())
    }
}

impl Drop for BatchTrace {
    fn drop(&mut self) {
        if let Some((_, batch)) = &self.0 {
            batch.span().end();
        }
    }
}

fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Posts to the collector, from the exporter's own thread, which may wait. It is told once when that stops to work, and once when it
/// works again.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    endpoint: String,
    failing: AtomicBool,
}

impl Client {
    fn new(endpoint: &str) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().into();
        Self { agent, endpoint: endpoint.to_owned(), failing: AtomicBool::new(false) }
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let (parts, mut body) = self.agent.run(Request::from_parts(parts, body.to_vec()))?.into_parts();
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.post(request);
        let fault = match &outcome {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let failing = fault.is_some();
        if self.failing.swap(failing, Ordering::Relaxed) != failing {
            match fault {
                Some(fault) => tracing::warn!(endpoint = self.endpoint, fault, "spans cannot be sent, and are dropped until they can"),
                None => tracing::info!(endpoint = self.endpoint, "spans are sent again"),
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_costs_nothing_and_says_nothing() {
        let trace = Traces::off().batch(Uuid::new_v4(), 3, SystemTime::now());
        trace.stage("claim", 0.1, 0.0, &[]);
        trace.fault("no");
        assert_eq!(trace.id(), "");
    }

    #[test]
    fn a_trace_has_an_id_and_a_stage_of_nonsense_is_none() {
        let origin = Origin { boot_id: Uuid::new_v4(), host: "test".to_owned() };
        let traces = Traces::to("http://127.0.0.1:9", 1, origin).unwrap();
        let trace = traces.batch(Uuid::new_v4(), 3, SystemTime::now());
        assert_eq!(trace.id().len(), 32);
        trace.stage("claim", f64::NAN, -1.0, &[("nerd.words", u64::MAX)]);
    }
}
