//! The command line: arguments to settings, one file a group of commands, exit codes.

pub mod annotate;
mod arguments;
mod daemon;
mod doctor;
mod explain;
mod highlight;
pub mod lines;
mod manual;
mod operate;
mod parity;
mod pause;
mod pool;
mod quarantine;
mod replay;
mod rollover;
pub mod top;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;

use crate::app::{Engines, Reload};
use crate::settings::{Effective, Settings, SettingsError, Sources, resolve};
use arguments::{Arguments, Command};

/// Exit codes beside 0: some articles or lines failed; the configuration, model or schema is unfit.
pub const FAILED: u8 = 1;
pub const CONFIGURATION: u8 = 2;

const DEFAULT_FILE: &str = "config/nerd.toml";

/// Parses the command line and does what it says; returns the exit code.
pub fn main() -> anyhow::Result<u8> {
    main_with(|factory| factory)
}

/// The same with other engines in the daemon: how tests bring the faults of native code into the real program.
pub fn main_with(engines: Engines) -> anyhow::Result<u8> {
    let arguments = Arguments::parse();
    let (settings, effective) = match settings(&arguments) {
        Ok(resolved) => resolved,
        Err(_) if arguments.command.is_about_itself() => Default::default(),
        Err(error) => {
            anstream::eprintln!("nerd: {error}");
            return Ok(CONFIGURATION);
        }
    };
    crate::logging::start(&settings.log);
    match arguments.command.clone() {
        Command::Run => Ok(daemon::run(&settings, engines, reload(arguments))),
        Command::Extract(options) => Ok(daemon::extract(&settings, &options, engines)),
        Command::Annotate(options) => annotate::annotate(&settings, &options),
        Command::Migrate(options) => operate::migrate(&settings, &options),
        Command::Parity(options) => parity::parity(&settings, &options),
        Command::Replay(options) => replay::replay(&settings, &options),
        Command::Check(options) => operate::check(&settings, &effective, &options),
        Command::Doctor(options) => doctor::doctor(&settings, &options),
        Command::Top(options) => top::top(&settings, &options),
        Command::Status(options) => operate::status(&settings, &options),
        Command::Explain(options) => explain::explain(&settings, &options),
        Command::Quarantine(options) => quarantine::quarantine(&settings, &options),
        Command::Retry(options) => quarantine::retry(&settings, &options),
        Command::Pause(options) => pause::pause(&settings, &options),
        Command::Resume(options) => pause::resume(&settings, &options),
        Command::ProveLoads(options) => operate::prove_loads(&settings, &options),
        Command::Rollover(options) => rollover::rollover(&settings, &options),
        Command::Completions(options) => Ok(manual::completions(&options)),
        Command::Man(options) => manual::man(&options),
        Command::Health => operate::health(&settings),
    }
}

/// The same flags, the file and the environment as they are then.
fn reload(arguments: Arguments) -> Reload {
    Reload(Arc::new(move || settings(&arguments).map(|(settings, _)| settings).map_err(|error| error.to_string())))
}

fn settings(arguments: &Arguments) -> Result<(Settings, Vec<Effective>), SettingsError> {
    let named = arguments.config.clone();
    let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => Some((path, text)),
        Err(error) if named.is_some() || error.kind() != std::io::ErrorKind::NotFound => {
            return Err(SettingsError(vec![format!("{}: cannot be read: {error}", shown(&path))]));
        }
        Err(_) => None,
    };
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    resolve(&Sources { file, environment, flags: arguments.overrides() })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
