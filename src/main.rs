//! The door: hands over to the command line and turns its answer into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    match nerd::cli::main() {
        Ok(code) => {
            // Threads of native code may still run after a forced end: no destructor may wait for them.
            std::process::exit(i32::from(code))
        }
        Err(error) => {
            eprintln!("nerd: {error:#}");
            ExitCode::FAILURE
        }
    }
}
