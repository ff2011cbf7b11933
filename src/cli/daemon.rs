//! `run` and `extract`: the same parts, once without end and once until the queue is empty.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::Extract;
use super::{CONFIGURATION, FAILED};
use crate::actors::fatal::Cause;
use crate::actors::poller::Span;
use crate::app::{self, End, Engines, Progress, Reload, Task};
use crate::settings::Settings;

pub fn run(settings: &Settings, engines: Engines, reload: Reload) -> u8 {
    let end = run_to_end(settings, Task { command: "run", span: Span::Endless, watch: None, engines, reload: Some(reload) });
    exit_code(&end)
}

pub fn extract(settings: &Settings, options: &Extract, engines: Engines) -> u8 {
    let mut settings = settings.clone();
    // A job beside a running daemon must not want its port.
    settings.http.address = None;
    if let Some(source) = &options.source {
        settings.claim.source.clone_from(source);
    }
    let task = Task { command: "extract", span: Span::Once { limit: options.limit }, watch: Some(show), engines, reload: None };
    let started = Instant::now();
    let end = run_to_end(&settings, task);
    if let (Some(bar), true) = (BAR.get(), std::io::stderr().is_terminal()) {
        bar.finish_and_clear();
    }
    if let End::Clean(p) | End::Hasty(p) = &end {
        let seconds = started.elapsed().as_secs_f64();
        anstream::println!(
            "{} done, {} retried later, {} quarantined, {} lost to another process; {} words and {} rows in {seconds:.1} s",
            p.done,
            p.retried,
            p.quarantined,
            p.lease_lost,
            p.words,
            p.rows
        );
        if p.retried + p.quarantined > 0 {
            return FAILED;
        }
    }
    exit_code(&end)
}

fn run_to_end(settings: &Settings, task: Task) -> End {
    let end = actix::System::new().block_on(app::run(settings, task));
    app::log_end(&end);
    end
}

fn exit_code(end: &End) -> u8 {
    match end {
        End::Clean(_) => 0,
        End::Hasty(_) => FAILED,
        End::Forced => 130,
        End::Fatal(error) => match error.cause {
            Cause::Configuration => CONFIGURATION,
            cause => cause as u8,
        },
    }
}

static BAR: OnceLock<ProgressBar> = OnceLock::new();
const LINE_EVERY: Duration = Duration::from_secs(30);

/// A bar on a terminal, a log line every half minute otherwise.
fn show(progress: &Progress) {
    static LAST: OnceLock<std::sync::Mutex<Instant>> = OnceLock::new();
    let settled = progress.done + progress.retried + progress.quarantined + progress.lease_lost;
    if std::io::stderr().is_terminal() {
        let bar = BAR.get_or_init(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} articles, {per_sec}, {eta} left");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_length(progress.claimed + progress.pending);
        bar.set_position(settled);
        return;
    }
    let last = LAST.get_or_init(|| std::sync::Mutex::new(Instant::now()));
    let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if last.elapsed() >= LINE_EVERY {
        *last = Instant::now();
        tracing::info!(settled, pending = progress.pending, words = progress.words, "extracting");
    }
}
