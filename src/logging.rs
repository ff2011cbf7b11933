//! Logs to standard error: lines for people or one JSON object a line. Never an article's text, never a secret.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

/// Installs the subscriber and a panic hook that quotes no text. Called once, by `main`.
pub fn start(log: &Log) {
    // Libraries speak up from warnings on only.
    let filter = EnvFilter::new(format!("warn,nerd={}", log.level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match log.format {
        LogFormat::Text => builder.with_ansi(colour).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let place = panic.location().map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
        let message = crate::actors::worker::panic_message(panic.payload());
        tracing::error!(thread, place, message, "panic");
    }));
}
