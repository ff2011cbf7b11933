//! The door: hands over to the command line and turns its answer into an exit code.

/// For what is allocated here; libtorch keeps the C library's. See `.cargo/config.toml` for its settings.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
