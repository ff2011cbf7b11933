//! The floors of the house: imports go only downward, files have one subject, `unsafe` and `tch` stay in their rooms.

use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use walkdir::WalkDir;

/// From the cellar up; a module imports only from lower floors and its own.
const FLOORS: &[(&str, usize)] = &[
    ("domain", 0),
    ("backoff", 1),
    ("compat", 1),
    ("native", 1),
    ("memory", 1),
    ("metrics", 1),
    ("settings", 1),
    ("trace", 1),
    ("engine", 2),
    ("gazetteer", 1),
    ("live", 2),
    ("store", 2),
    ("actors", 3),
    ("http", 4),
    ("logging", 4),
    ("app", 5),
    ("cli", 6),
];
/// Rooms of one floor that may know each other: metrics sample the memory.
const NEIGHBOURS: &[(&str, &str)] = &[("metrics", "memory")];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    WalkDir::new(&root)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

fn module(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> usize {
    FLOORS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("the module {module} is on no floor: add it to FLOORS")).1
}

/// Every `crate::x…` of a file, in imports and in expressions alike.
#[derive(Default)]
struct Imports(Vec<String>);

impl<'ast> Visit<'ast> for Imports {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|s| s.ident == "crate")
            && let Some(next) = segments.next()
        {
            self.0.push(next.ident.to_string());
        }
        visit::visit_path(self, path);
    }

    fn visit_use_path(&mut self, path: &'ast syn::UsePath) {
        if path.ident == "crate" {
            names(&path.tree, &mut self.0);
        }
        visit::visit_use_path(self, path);
    }
}

fn names(tree: &syn::UseTree, out: &mut Vec<String>) {
    match tree {
        syn::UseTree::Path(path) => out.push(path.ident.to_string()),
        syn::UseTree::Name(name) => out.push(name.ident.to_string()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| names(item, out)),
        _ => {}
    }
}

#[test]
fn imports_go_only_downward() {
    let mut checked = 0;
    for (path, text) in sources() {
        let from = module(&path);
        if matches!(from.as_str(), "lib" | "main") {
            continue;
        }
        let mut imports = Imports::default();
        imports.visit_file(&syn::parse_file(&text).unwrap());
        for to in imports.0 {
            let allowed = to == from || floor(&to) < floor(&from) || NEIGHBOURS.contains(&(from.as_str(), to.as_str()));
            assert!(allowed, "{} (floor {}) imports crate::{to} (floor {})", path.display(), floor(&from), floor(&to));
            checked += 1;
        }
    }
    assert!(checked > 50, "the test saw only {checked} imports");
}

#[test]
fn files_stay_small() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 420, "{} has {lines} lines: it has a second subject", path.display());
    }
}

#[test]
fn every_module_says_its_place() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not begin with a paragraph on its place", path.display());
    }
}

#[test]
fn native_code_stays_in_its_rooms() {
    let allowed = |path: &Path, rooms: &[&str]| rooms.iter().any(|room| path == Path::new(room));
    for (path, text) in sources() {
        assert!(!text.contains("unsafe {") || path.starts_with("native"), "{} has unsafe code", path.display());
        let tch = text.match_indices("tch::").any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric));
        assert!(
            !tch || allowed(&path, &["engine/bert.rs", "engine/device.rs", "engine/weights.rs", "engine/transformer.rs"]),
            "{} names tch",
            path.display()
        );
        assert!(
            !text.contains("rust_bert::") || allowed(&path, &["engine/bert.rs", "engine/int8_weights.rs"]),
            "{} names rust-bert",
            path.display()
        );
        let processes = text.contains("process::Command") || text.contains("Command::new(");
        assert!(!processes, "{}: the daemon never spawns a process", path.display());
    }
}

/// The reason why a block is sound stands above its statement, or above the first of a few that share it.
#[test]
fn every_unsafe_block_is_justified() {
    let mut blocks = 0;
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            let near = &lines[at.saturating_sub(5)..at];
            assert!(near.iter().any(|line| line.contains("// SAFETY")), "{}:{}: unsafe without a reason: {line}", path.display(), at + 1);
            blocks += 1;
        }
    }
    assert!(blocks > 10, "the test saw only {blocks} blocks");
}

/// The page tells of every room, on its floor.
#[test]
fn the_page_shows_the_house() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md")).unwrap();
    for (room, _) in FLOORS {
        let line = page.lines().find(|line| line.starts_with("| ") && line.contains(&format!("`{room}`")));
        assert!(line.is_some(), "docs/architecture.md does not show {room}");
    }
    let source = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists();
    for path in page.split('`').filter(|word| (word.starts_with("src/") || word.starts_with("tests/")) && word.ends_with(".rs")) {
        assert!(source(path), "docs/architecture.md names {path}, which is not there");
    }
}
