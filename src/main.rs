//! The door: hands over to the command line and turns its answer into an exit code.

fn main() -> ! {
    match nerd::cli::main() {
        Ok(code) => nerd::exit::now(code),
        Err(error) => {
            eprintln!("nerd: {error:#}");
            nerd::exit::now(nerd::cli::FAILED)
        }
    }
}
