//! `nerd annotate`: texts in, entities out, no database. Order kept; a bad line is named and the others are processed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::arguments::{Annotate, Input, Output};
use super::highlight::highlight;
use super::lines::{Document, Lines};
use super::pool::{Outcomes, annotate_all};
use super::{CONFIGURATION, FAILED};
use crate::app;
use crate::domain::Entity;
use crate::engine::EngineFactory;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// Texts of one call; bounded by bytes too, so that memory stays flat.
const BATCH_TEXTS: usize = 16;
const BATCH_BYTES: usize = 1 << 18;

#[derive(Serialize)]
struct LineOut<'a> {
    id: &'a serde_json::Value,
    entities: &'a [Entity],
}

/// What goes wrong with the input, told as it happens.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<u64>>);

impl Complaints {
    fn tell(&self, message: &str) {
        anstream::eprintln!("nerd: {message}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

pub fn annotate(settings: &Settings, options: &Annotate) -> anyhow::Result<u8> {
    let factory: Arc<dyn EngineFactory> = match app::load_weights(settings, &Metrics::new()) {
        // Off unless asked for: what is measured with this command is the engine.
        Ok(factory) if options.reuse => app::with_memory(settings, factory),
        Ok(factory) => Arc::new(factory),
        Err(error) => {
            anstream::eprintln!("nerd: {error}");
            return Ok(CONFIGURATION);
        }
    };
    let complaints = Complaints::default();
    let mut reader = Reader { paths: options.paths.clone().into(), open: None, input: options.input, complaints: complaints.clone() };
    let waiting: Arc<Mutex<VecDeque<Vec<Document>>>> = Arc::default();
    let fed = waiting.clone();
    let next = move || {
        let documents = reader.batch();
        let texts: Vec<Arc<str>> = documents.iter().map(|document| document.text.clone()).collect();
        if documents.is_empty() {
            return None;
        }
        fed.lock().unwrap_or_else(PoisonError::into_inner).push_back(documents);
        Some(texts)
    };
    // JSON goes out as it is; colour, where a pipe or NO_COLOR wants none, is taken out of the text form only.
    let mut out: Box<dyn Write> = match options.format {
        Output::Json => Box::new(BufWriter::new(std::io::stdout().lock())),
        Output::Text => Box::new(BufWriter::new(anstream::stdout().lock())),
    };
    let mut broken_pipe = None;
    let bar = progress_bar();
    annotate_all(&factory, app::workers(settings), next, |outcomes| {
        let documents = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or_default();
        bar.inc(documents.len() as u64);
        if broken_pipe.is_none()
            && let Err(error) = write(&mut out, options.format, &documents, outcomes, &complaints)
        {
            broken_pipe = Some(error);
        }
    })
    .context("annotating")?;
    bar.finish_and_clear();
    let flushed = out.flush();
    match broken_pipe.map_or(flushed, Err) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("writing to standard output"),
        _ => Ok(if *complaints.0.lock().unwrap_or_else(PoisonError::into_inner) > 0 { FAILED } else { 0 }),
    }
}

/// On standard error, when that is a terminal and standard output is not (or it would be torn up).
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() || std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} texts, {per_sec}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn write(out: &mut impl Write, format: Output, documents: &[Document], outcomes: Outcomes, complaints: &Complaints) -> std::io::Result<()> {
    for (document, outcome) in documents.iter().zip(outcomes) {
        match (outcome, format) {
            (Ok(entities), Output::Json) => {
                serde_json::to_writer(&mut *out, &LineOut { id: &document.id, entities: &entities })?;
                writeln!(out)?;
            }
            (Ok(entities), Output::Text) => writeln!(out, "{}", highlight(&document.text, &entities))?,
            (Err(error), _) => complaints.tell(&format!("{}: {error}", document.id)),
        }
    }
    Ok(())
}

/// Reads documents file by file.
struct Reader {
    paths: VecDeque<PathBuf>,
    open: Option<Lines<Box<dyn BufRead + Send>>>,
    input: Input,
    complaints: Complaints,
}

impl Reader {
    /// The next batch; empty at the end.
    fn batch(&mut self) -> Vec<Document> {
        let (mut documents, mut bytes) = (Vec::new(), 0);
        while documents.len() < BATCH_TEXTS && bytes < BATCH_BYTES {
            let Some(document) = self.document() else { break };
            bytes += document.text.len();
            documents.push(document);
        }
        documents
    }

    fn document(&mut self) -> Option<Document> {
        loop {
            match self.open.as_mut().and_then(Iterator::next) {
                Some(Ok(document)) => return Some(document),
                Some(Err(complaint)) => {
                    self.complaints.tell(&complaint);
                    continue;
                }
                None => self.open = None,
            }
            let path = self.paths.pop_front()?;
            match self.open_file(&path) {
                Ok(Some(document)) => return Some(document),
                Ok(None) => {}
                Err(error) => self.complaints.tell(&format!("{}: cannot be read: {error}", path.display())),
            }
        }
    }

    /// A text file is a document; a file of JSON lines is opened for reading line by line.
    fn open_file(&mut self, path: &Path) -> std::io::Result<Option<Document>> {
        let standard = path.as_os_str() == "-";
        let name = if standard { "standard input".to_owned() } else { path.display().to_string() };
        let mut reader: Box<dyn BufRead + Send> =
            if standard { Box::new(BufReader::new(std::io::stdin())) } else { Box::new(BufReader::new(File::open(path)?)) };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let lines = match self.input {
            Input::Jsonl => true,
            Input::Text => false,
            Input::Auto if matches!(extension, "jsonl" | "ndjson") => true,
            Input::Auto => reader.fill_buf()?.trim_ascii_start().starts_with(b"{"),
        };
        if lines {
            self.open = Some(Lines::new(name, reader));
            return Ok(None);
        }
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes)
            .map_err(|error| std::io::Error::other(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to())))?;
        let id = if standard { "-".to_owned() } else { name };
        Ok(Some(Document { id: id.into(), text: text.into() }))
    }
}
