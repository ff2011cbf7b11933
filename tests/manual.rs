//! Completions and manual pages, as the program prints them.

mod support;

use support::process::binary;

fn printed(arguments: &[&str]) -> String {
    let output = binary().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| line.starts_with("  "));
    let names: Vec<String> =
        listed.filter_map(|line| line[2..].split(' ').next()).filter(|name| !["", "help"].contains(name)).map(str::to_owned).collect();
    assert!(names.len() > 8, "{help}");
    names
}

#[test]
fn every_shell_can_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
    let checked = std::process::Command::new("bash").args(["-n", "-c", &printed(&["completions", "bash"])]).status().unwrap();
    assert!(checked.success(), "bash reads it");
}

#[test]
fn every_command_has_its_page() {
    assert!(printed(&["man"]).contains(".TH nerd"));
    let directory = tempfile::tempdir().unwrap();
    printed(&["man", directory.path().to_str().unwrap()]);
    for command in commands() {
        let page = std::fs::read_to_string(directory.path().join(format!("nerd-{command}.1")))
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{page}");
    }
}

/// They are asked for on machines without a configuration, or with a broken one.
#[test]
fn a_broken_configuration_does_not_matter() {
    let output = binary().env("NERD_ENGINE_WORKERS", "many").args(["completions", "bash"]).output().unwrap();
    assert!(output.status.success());
}
