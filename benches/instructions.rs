//! `make instructions`: instructions of the pure parts, counted by Valgrind's callgrind. A count is the same on a busy machine and
//! on a quiet one, so it is a check: a part that takes more than its bound fails. Whoever makes one slower on purpose moves its
//! bound, and says why.
//!
//! The program runs itself under Valgrind, and only what happens inside the parts' functions is counted, each to a file of its
//! own. (The crates for this bring a runner whose build takes longer than everything here.)

mod cases;

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use cases::Case;

type Part = (&'static str, fn(&Case), u64);

/// A part by its function, and the most instructions that it may take: what was counted, and a twentieth for what another
/// compiler makes of it.
const PARTS: [Part; 4] = [
    ("measured_sentences", measured_sentences, 10_720_000),
    ("measured_tokenizing", measured_tokenizing, 145_900_000),
    ("measured_windows", measured_windows, 189_400),
    ("measured_decoding", measured_decoding, 40_270_000),
];

/// What the program is called with under Valgrind.
const ALONE: &str = "--parts-alone";

#[inline(never)]
fn measured_sentences(case: &Case) {
    black_box(case.sentences());
}

#[inline(never)]
fn measured_tokenizing(case: &Case) {
    black_box(case.tokens());
}

#[inline(never)]
fn measured_windows(case: &Case) {
    black_box(case.windows());
}

#[inline(never)]
fn measured_decoding(case: &Case) {
    black_box(case.entities());
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == ALONE) {
        let case = Case::new();
        PARTS.iter().for_each(|(_, part, _)| part(&case));
        return ExitCode::SUCCESS;
    }
    let counts = match count() {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut code = ExitCode::SUCCESS;
    for ((name, _, bound), counted) in PARTS.iter().zip(counts) {
        let verdict = if counted <= *bound { "at most" } else { "MORE than" };
        println!("{name:20} {counted:>12} instructions, {verdict} {bound}");
        if counted > *bound {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Instructions inside each part.
fn count() -> Result<Vec<u64>, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program's own path is unknown: {error}"))?;
    let directory = tempfile::tempdir().map_err(|error| format!("no directory for the counts: {error}"))?;
    let out = directory.path().join("part");
    let done = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(PARTS.iter().flat_map(|(name, _, _)| ["zero-before", "dump-after"].map(|when| format!("--{when}=instructions::{name}"))))
        .arg(program)
        .arg(ALONE)
        .output()
        .map_err(|error| format!("valgrind does not start ({error}): install the package valgrind"))?;
    if !done.status.success() {
        return Err(format!("valgrind ended with {}:\n{}", done.status, String::from_utf8_lossy(&done.stderr)));
    }
    // A dump a part, in their order.
    (1..=PARTS.len()).map(|number| total(&out.with_extension(number.to_string()))).collect()
}

/// The instructions of one dump.
fn total(path: &Path) -> Result<u64, String> {
    let dump = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let counted = dump.lines().find_map(|line| line.strip_prefix("summary:"));
    match counted.and_then(|counted| counted.trim().parse().ok()) {
        Some(count) if count > 0 => Ok(count),
        _ => Err(format!("{}: valgrind counted nothing in it", path.display())),
    }
}
