//! `nerd top`: one daemon, live on the terminal, by what it says of itself at `/status.json`; a client like any browser, which needs
//! neither the database nor a model. `client` asks, `state`, `view` and what they are made of are pure, `screen` is where they meet a terminal.

mod charts;
pub mod client;
mod page;
mod plain;
#[cfg(test)]
mod sample;
pub mod screen;
mod state;
mod theme;
mod view;
mod words;

use std::io::{IsTerminal, Write};

use anyhow::Context;

use super::FAILED;
use super::arguments::Top;
use super::operate::here;
use crate::settings::Settings;
use client::{Client, ClientError};
use theme::Theme;

pub fn top(settings: &Settings, options: &Top) -> anyhow::Result<u8> {
    let url = match options.url.clone().map_or_else(|| here(settings).map(|address| format!("http://{address}")), Ok) {
        Ok(url) => url,
        Err(error) => {
            anstream::eprintln!("nerd: {error}; name the daemon with --url");
            return Ok(FAILED);
        }
    };
    let client = Client::new(url);
    if options.json {
        return printed(client.body(), |body| body);
    }
    if options.once || !std::io::stdout().is_terminal() || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
        return printed(client.status(), |whole| plain::lines(&whole));
    }
    let theme = Theme { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    screen::live(client, options.interval, theme).context("the terminal cannot be used: nerd top --once needs none")?;
    Ok(0)
}

/// The answer once, or why there is none and what to do.
fn printed<T>(answer: Result<T, ClientError>, write: impl FnOnce(T) -> String) -> anyhow::Result<u8> {
    match answer {
        Ok(answer) => {
            let mut written = write(answer);
            if !written.ends_with('\n') {
                written.push('\n');
            }
            std::io::stdout().write_all(written.as_bytes())?;
            Ok(0)
        }
        Err(error) => {
            anstream::eprintln!("nerd: {error}; {}", error.remedy());
            Ok(FAILED)
        }
    }
}
