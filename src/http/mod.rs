//! The probes, the metrics and the live page, on actix-web: threads of its own, so that a frozen actor is seen from outside. Nothing
//! here reads a file, a body or the database, and every answer is bounded, the page's stream by the number of its watchers.

mod events;
mod guard;
mod page;
pub mod promise;
pub mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

use crate::actors::health::Health;
use crate::live::Live;
use crate::metrics::Metrics;
use events::Watchers;
use status::Status;

/// What the routes read.
#[derive(Clone)]
pub struct Parts {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub live: Arc<Live>,
}

#[derive(Clone)]
struct Shared {
    parts: Parts,
    watchers: Watchers,
    /// Bound to this machine alone.
    loopback: bool,
}

/// Binds and serves; returns the address bound (port 0 takes any free one) and the handle that stops it.
pub fn serve(address: SocketAddr, parts: Parts) -> std::io::Result<(SocketAddr, ServerHandle)> {
    let shared = Shared { parts, watchers: Watchers::default(), loopback: address.ip().is_loopback() };
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(shared.clone()))
            .route("/metrics", web::get().to(metrics_text))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/", web::get().to(live_page))
            .route("/status.json", web::get().to(status_once))
            .route("/events", web::get().to(event_stream))
    })
    .workers(1)
    .disable_signals()
    .max_connections(256)
    .client_request_timeout(Duration::from_secs(5))
    .shutdown_timeout(1)
    .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    Ok((bound, handle))
}

async fn metrics_text(shared: web::Data<Shared>) -> HttpResponse {
    let Parts { metrics, health, .. } = &shared.parts;
    metrics.ready(health.readiness().ready);
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")).body(metrics.render())
}

/// Fails when an actor is frozen, and only then: never for the database, which a restart would not mend.
async fn livez(shared: web::Data<Shared>) -> HttpResponse {
    let frozen = shared.parts.health.frozen();
    if frozen.is_empty() {
        HttpResponse::Ok().json(serde_json::json!({ "live": true }))
    } else {
        HttpResponse::ServiceUnavailable().json(serde_json::json!({ "live": false, "frozen": frozen }))
    }
}

async fn readyz(shared: web::Data<Shared>) -> HttpResponse {
    let readiness = shared.parts.health.readiness();
    if readiness.ready { HttpResponse::Ok().json(readiness) } else { HttpResponse::ServiceUnavailable().json(readiness) }
}

async fn live_page(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    guard::refused(&request, shared.loopback).unwrap_or_else(page::answer)
}

/// What the stream tells, once.
async fn status_once(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    guard::refused(&request, shared.loopback).unwrap_or_else(|| guard::kept(HttpResponse::Ok()).json(Status::whole(&shared.parts)))
}

async fn event_stream(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    guard::refused(&request, shared.loopback).unwrap_or_else(|| events::answer(&shared.parts, &shared.watchers))
}
