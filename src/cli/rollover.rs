//! `nerd rollover DIR`: the configured model is a symbolic link; it is turned to another directory, the daemon on this machine told,
//! and what came of it waited for. A refusal turns the link back, so that the next start finds the model that works.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::arguments::Rollover;
use super::operate::ask;
use super::{CONFIGURATION, FAILED};
use crate::app;
use crate::engine::TransformerFactory;
use crate::settings::Settings;

/// Between two looks at what came of it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What of `/readyz` is read here.
#[derive(Deserialize)]
struct Daemon {
    pid: i32,
    rollover: Option<Report>,
}

#[derive(Deserialize)]
struct Report {
    number: u64,
    outcome: String,
    message: String,
}

/// The link that names the model, and where it led.
struct Link {
    path: PathBuf,
    before: PathBuf,
}

impl Link {
    fn of(settings: &Settings) -> Result<Self, String> {
        let Some(path) = settings.model.path.clone() else {
            return Err(
                "model.path is not set: let it be a symbolic link to the model's directory, and start the daemon with it; or change the \
                        configuration file and send the daemon a hangup signal"
                    .to_owned(),
            );
        };
        let before = fs::read_link(&path).map_err(|_| {
            format!(
                "{} is no symbolic link: let model.path be one that leads to the model's directory; or change model.path and send the daemon a \
                 hangup signal",
                path.display()
            )
        })?;
        Ok(Self { path, before })
    }

    /// At once: whoever looks sees the one or the other.
    fn turn(&self, to: &Path) -> Result<(), String> {
        let mut new = self.path.clone().into_os_string();
        new.push(".turned");
        let failed = |error: std::io::Error| format!("{} cannot be turned to {}: {error}", self.path.display(), to.display());
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        symlink(to, &new).and_then(|()| fs::rename(&new, &self.path)).map_err(failed)
    }
}

pub fn rollover(settings: &Settings, options: &Rollover) -> anyhow::Result<u8> {
    let (link, directory, daemon) = match prepare(settings, options) {
        Ok(prepared) => prepared,
        Err(message) => {
            anstream::eprintln!("nerd: {message}");
            return Ok(CONFIGURATION);
        }
    };
    let outcome = link.turn(&directory).and_then(|()| order(settings, &daemon, options.timeout));
    match outcome {
        Ok(Report { outcome, message, .. }) if outcome == "done" || outcome == "unchanged" => {
            anstream::println!("{outcome}: {message}");
            return Ok(0);
        }
        Ok(Report { outcome, message, .. }) => anstream::eprintln!("nerd: {outcome}: {message}"),
        Err(message) => anstream::eprintln!("nerd: {message}"),
    }
    match link.turn(&link.before) {
        Ok(()) => anstream::eprintln!("nerd: {} leads to {} again", link.path.display(), link.before.display()),
        Err(message) => anstream::eprintln!("nerd: {message}"),
    }
    Ok(FAILED)
}

/// All that can be said before anything is touched.
fn prepare(settings: &Settings, options: &Rollover) -> Result<(Link, PathBuf, Daemon), String> {
    let link = Link::of(settings)?;
    let directory = fs::canonicalize(&options.directory).map_err(|error| format!("{}: {error}", options.directory.display()))?;
    let mut new = settings.clone();
    new.model.path = Some(directory.clone());
    TransformerFactory::describe(&app::engine_options(&new)).map_err(|error| error.to_string())?;
    let daemon = look(settings)?;
    Ok((link, directory, daemon))
}

fn look(settings: &Settings) -> Result<Daemon, String> {
    let (_, body) = ask(settings, "/readyz")?;
    serde_json::from_str(&body).map_err(|error| format!("the daemon's answer is not understood ({error}): is it of this version?"))
}

/// Sends the signal and waits for the report of this rollover.
fn order(settings: &Settings, before: &Daemon, timeout: Duration) -> Result<Report, String> {
    let last = before.rollover.as_ref().map_or(0, |report| report.number);
    let pid = Pid::from_raw(before.pid).ok_or("the daemon's answer names no process")?;
    kill_process(pid, Signal::HUP).map_err(|error| format!("process {} cannot be told: {error}", before.pid))?;
    let started = Instant::now();
    loop {
        std::thread::sleep(LOOK_EVERY);
        match look(settings) {
            Ok(Daemon { rollover: Some(report), .. }) if report.number > last && report.outcome != "under way" => return Ok(report),
            Ok(_) => {}
            Err(message) => return Err(format!("the daemon does not answer any more: {message}")),
        }
        if started.elapsed() > timeout {
            return Err(format!("no outcome within {}: look at the daemon's log", humantime::format_duration(timeout)));
        }
    }
}
