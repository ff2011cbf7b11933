//! The probes and the metrics, on actix-web: threads of its own, so that a frozen actor is seen from outside. Nothing here
//! reads a file or a body, and every answer is bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App, HttpResponse, HttpServer, web};

use crate::actors::health::Health;
use crate::metrics::Metrics;

/// What the routes read.
#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Binds and serves; returns the address bound (port 0 takes any free one) and the handle that stops it.
pub fn serve(address: SocketAddr, metrics: Arc<Metrics>, health: Arc<Health>) -> std::io::Result<(SocketAddr, ServerHandle)> {
    let shared = Shared { metrics, health };
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(shared.clone()))
            .route("/metrics", web::get().to(metrics_text))
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
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
    shared.metrics.ready(shared.health.readiness().ready);
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")).body(shared.metrics.render())
}

/// Fails when an actor is frozen, and only then: never for the database, which a restart would not mend.
async fn livez(shared: web::Data<Shared>) -> HttpResponse {
    let frozen = shared.health.frozen();
    if frozen.is_empty() {
        HttpResponse::Ok().json(serde_json::json!({ "live": true }))
    } else {
        HttpResponse::ServiceUnavailable().json(serde_json::json!({ "live": false, "frozen": frozen }))
    }
}

async fn readyz(shared: web::Data<Shared>) -> HttpResponse {
    let readiness = shared.health.readiness();
    if readiness.ready { HttpResponse::Ok().json(readiness) } else { HttpResponse::ServiceUnavailable().json(readiness) }
}
