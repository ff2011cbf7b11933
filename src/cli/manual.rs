//! What helps at the prompt, made from the arguments themselves: completions for a shell, manual pages.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use super::arguments::{Arguments, Completions, Man};

pub fn completions(options: &Completions) -> u8 {
    clap_complete::generate(options.shell, &mut Arguments::command(), "nerd", &mut std::io::stdout());
    0
}

/// The page of the program to standard output, or a page for each command into a directory.
pub fn man(options: &Man) -> anyhow::Result<u8> {
    let command = Arguments::command();
    let Some(directory) = &options.directory else {
        clap_mangen::Man::new(command).render(&mut std::io::stdout())?;
        return Ok(0);
    };
    std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", shown(directory)))?;
    clap_mangen::generate_to(command, directory).with_context(|| format!("{} cannot be written to", shown(directory)))?;
    anstream::println!("manual pages are in {}", shown(directory));
    Ok(0)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
