//! The door: hands over to the command line and turns its answer into an exit code.

fn main() -> ! {
    nerd::native::bound_caches();
    match nerd::cli::main() {
        Ok(code) => nerd::native::exit(code),
        Err(error) => {
            eprintln!("nerd: {error:#}");
            nerd::native::exit(nerd::cli::FAILED)
        }
    }
}
