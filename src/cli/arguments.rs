//! The arguments and their help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\x1b[1mExamples:\x1b[0m
  nerd annotate article.txt --format text      see the entities of a text, no database needed
  DATABASE_URL=postgresql://… nerd migrate     create the schema `nerd` beside your tables
  DATABASE_URL=postgresql://… nerd run         the daemon; http://127.0.0.1:8080/metrics tells how it does
  nerd prove-loads --since 24h                 shows that the model was not loaded over and over

Configuration: flag over environment (NERD_SECTION_KEY) over file (config/nerd.toml) over default;
`nerd check` prints what is in force and where it came from. Exit codes: 0 done, 1 something failed,
2 configuration, model or schema unfit, 70 workers failed too often, 71 too many stalled, 72 an actor died.";

/// The NER daemon: keeps a named-entity model resident and annotates the articles of a PostgreSQL database, each exactly once.
#[derive(Debug, Parser)]
#[command(name = "nerd", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Arguments {
    /// Configuration file [default: config/nerd.toml, if it is there]
    #[arg(long, global = true, env = "NERD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets any configuration key, for example --set claim.batch_articles=100; may be repeated
    #[arg(long = "set", short = 's', global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Database, as postgresql://user:password@host:port/name (better kept in the environment: DATABASE_URL)
    #[arg(long, global = true, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Bundled model: accurate or fast
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Directory of another model
    #[arg(long, global = true, value_name = "DIR")]
    pub model: Option<String>,
    /// Number of NER workers; 0: one for each core
    #[arg(long, global = true, value_name = "N")]
    pub workers: Option<String>,
    /// auto, cpu or cuda:N
    #[arg(long, global = true, value_name = "DEVICE")]
    pub device: Option<String>,
    /// auto, int8, bf16 or f32
    #[arg(long, global = true, value_name = "PRECISION")]
    pub precision: Option<String>,
    /// mended or strict: whose rules rows are made by
    #[arg(long, global = true, value_name = "RULES")]
    pub compat: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the daemon until SIGTERM or SIGINT (a second signal forces)
    Run,
    /// Process what is pending now, then exit: for cron
    Extract(Extract),
    /// Find the entities of texts, without a database
    Annotate(Annotate),
    /// Create or upgrade the schema `nerd`; your own tables are not altered
    Migrate(Migrate),
    /// Show what would change if nerd took over, over a sample of the rows that stand; writes nothing
    Parity(Parity),
    /// Show what another model would have found in articles that are done, against the rows that stand; writes nothing
    Replay(Replay),
    /// Check configuration, model and database, and print what is in force
    Check(Format),
    /// Look at everything that a daemon needs (database, rights, schema, indexes, host tables, model, address, memory), and say what to do
    Doctor(Format),
    /// Watch a running daemon live on the terminal: promise, memory, pace, workers, queue, errors, quarantine
    Top(Top),
    /// The queue at a glance
    Status(Format),
    /// Show where an article stands, and what the model makes of it, step by step; writes nothing
    Explain(Explain),
    /// Show which articles failed for good, and for what reasons
    Quarantine(Quarantine),
    /// Send quarantined articles back to the queue
    Retry(Retry),
    /// Claim nothing, or nothing of a source, until `nerd resume`: on every daemon of the database, without a restart
    Pause(Pause),
    /// Take a pause back
    Resume(Resume),
    /// Show every load of the model and judge them: the receipt of the promise
    ProveLoads(ProveLoads),
    /// Put another model into the daemon on this machine without stopping it
    Rollover(Rollover),
    /// Print what a shell needs to complete nerd's commands and flags
    Completions(Completions),
    /// Print the manual page, or write one for each command
    Man(Man),
    /// Ask a running daemon whether it is alive (for a container's HEALTHCHECK)
    Health,
}

impl Command {
    /// It says the same whatever is configured.
    pub fn is_about_itself(&self) -> bool {
        matches!(self, Self::Completions(_) | Self::Man(_))
    }
}

#[derive(Clone, Debug, Args)]
pub struct Extract {
    /// Claim at most so many articles [default: all that is pending]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only articles of this source (candidate_links.source, compared exactly)
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Input {
    /// JSON lines if the name ends in .jsonl or .ndjson, or the content begins with a brace
    Auto,
    /// The whole file is one text
    Text,
    /// {"id": …, "text": …} a line
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// {"id": …, "entities": [{"text", "label", "start", "end", "score"}]} a line; offsets count code points
    Json,
    /// The texts with their entities highlighted
    Text,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExamples:\x1b[0m
  echo 'Ann Lee lives in Columbia.' | nerd annotate - --format text
  nerd annotate articles.jsonl > entities.jsonl")]
pub struct Annotate {
    /// Files, or - for standard input
    #[arg(value_name = "PATH", default_value = "-")]
    pub paths: Vec<PathBuf>,
    /// How to read
    #[arg(long, value_enum, default_value = "auto")]
    pub input: Input,
    /// How to write
    #[arg(long, value_enum, default_value = "json")]
    pub format: Output,
    /// Answer a text that was there before from memory (reuse.memory_bytes); without it, every text is read by the model
    #[arg(long)]
    pub reuse: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Migrate {
    /// Also create the host's tables (for a fresh install; what exists is left as it is)
    #[arg(long)]
    pub with_host_tables: bool,
    /// Also hang a statement-level trigger on `articles`, so that new articles are seen at once
    #[arg(long)]
    pub with_trigger: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExample:\x1b[0m
  nerd parity --source gazette --limit 500     by label and category, with examples
  nerd parity --json > parity.json             every change, for machines")]
pub struct Parity {
    /// Only articles of this source (candidate_links.source, compared exactly)
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// At most so many articles, the newest that have rows
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExample:\x1b[0m
  nerd replay --model /srv/models/news-ner-2027 --since 7d --limit 1000
  nerd replay --profile fast --since 2026-01-31 --json > replay.json")]
pub struct Replay {
    /// Articles done since then: so long ago (7d), a date or a time in UTC
    #[arg(long, value_name = "T", value_parser = super::replay::moment)]
    pub since: super::replay::Moment,
    /// At most so many articles, the last done first
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Only articles of this source (candidate_links.source, compared exactly)
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Compare with rows of this extractor_version [default: the last written of each article]
    #[arg(long, value_name = "VERSION")]
    pub against: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Format {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExamples:\x1b[0m
  nerd top                                     the daemon on this machine; ? shows the keys
  nerd top --url http://127.0.0.1:9090         another one, through ssh -L 9090:127.0.0.1:8080 HOST
  nerd top --once | mail -s nerd you@…         plain lines; also wherever the output is no terminal
  nerd top --json | jq .totals.queue           what the daemon says, as it came

Exit codes: 0 shown; 1 the daemon could not be reached (with --once or --json; the live view waits for it).")]
pub struct Top {
    /// The daemon's address [default: http.address, as http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", value_parser = super::top::client::address)]
    pub url: Option<String>,
    /// How long after an answer to ask again
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = interval)]
    pub interval: Duration,
    /// Print plain lines once
    #[arg(long, conflicts_with = "json")]
    pub once: bool,
    /// Print the daemon's JSON once, as it came
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// Article id
    #[arg(value_name = "ARTICLE")]
    pub article: String,
    /// Only where it stands: the model is not loaded
    #[arg(long)]
    pub no_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExamples:\x1b[0m
  nerd quarantine --since 24h                  what failed since yesterday, and why
  nerd retry $(nerd quarantine --source gazette --json | jq -r '.articles[].article_id')")]
pub struct Quarantine {
    /// Only articles of this source (candidate_links.source, compared exactly)
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub source: Option<String>,
    /// Only what came into quarantine so lately [default: whenever]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// At most so many articles, the latest first; reasons are counted over all
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Retry {
    /// Article ids
    #[arg(value_name = "ARTICLE", required_unless_present = "all", conflicts_with = "all")]
    pub articles: Vec<String>,
    /// Every quarantined article
    #[arg(long)]
    pub all: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExamples:\x1b[0m
  nerd pause --reason 'index build on articles, until noon'
  nerd pause --source gazette                  the other sources go on, in turn")]
pub struct Pause {
    /// Only this source (candidate_links.source, compared exactly) [default: everything]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub source: Option<String>,
    /// Why, for whoever finds it paused
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct Resume {
    /// Only the pause of this source [default: that of everything; those of sources stay]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub source: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct ProveLoads {
    /// How far to look back
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
    pub since: Duration,
    /// Starts of the daemon that a host may have in a day
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub max_starts: u64,
    /// The same for other commands that load the model (`extract`)
    #[arg(long, default_value_t = 24, value_name = "N")]
    pub max_jobs: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExample:\x1b[0m
  ln -s models/news-ner /srv/nerd/model && nerd run --model /srv/nerd/model
  nerd rollover --model /srv/nerd/model /srv/models/news-ner-2027")]
pub struct Rollover {
    /// Directory of the other model; model.path, a symbolic link, will lead to it
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// How long to wait for the outcome
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExample:\x1b[0m
  nerd completions bash > /etc/bash_completion.d/nerd
  nerd completions zsh > /usr/local/share/zsh/site-functions/_nerd")]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\x1b[1mExample:\x1b[0m
  nerd man /usr/local/share/man/man1 && man nerd-run")]
pub struct Man {
    /// Directory for the pages; without it, the program's own page is printed
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Often enough to see something, not so often that it is felt.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    if range.contains(&interval) { Ok(interval) } else { Err("between 100ms and 1h".to_owned()) }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "write KEY=VALUE".to_owned())
}

impl Arguments {
    /// The flags as configuration keys; a named flag wins over `--set`.
    pub fn overrides(&self) -> Vec<(String, String)> {
        let mut all = self.set.clone();
        let named = [
            ("database.url", &self.database_url),
            ("model.profile", &self.profile),
            ("model.path", &self.model),
            ("engine.workers", &self.workers),
            ("engine.device", &self.device),
            ("engine.precision", &self.precision),
            ("output.compat", &self.compat),
            ("log.level", &self.log_level),
        ];
        all.extend(named.iter().filter_map(|(key, value)| Some(((*key).to_owned(), (*value).clone()?))));
        all
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn named_flags_become_keys() {
        let arguments =
            Arguments::try_parse_from(["nerd", "run", "--workers", "3", "-s", "engine.workers=2", "-s", "log.format=json"]).unwrap();
        let overrides = arguments.overrides();
        assert_eq!(overrides.last().unwrap(), &("engine.workers".to_owned(), "3".to_owned()));
        assert_eq!(overrides.len(), 3);
    }
}
