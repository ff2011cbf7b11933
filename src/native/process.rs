//! What native code needs at the process's start and end.

use std::io::Write;

/// oneDNN keeps a compiled kernel for each shape of a matrix product it has met, 1,024 of them, and PyTorch's bridge to it as many
/// again. Windows and batches come in hundreds of shapes, so memory would grow for hours. Measured on 4,835 short texts with two
/// workers (2026-11-24, two cores of an AMD EPYC, Zen 4): 382 MB and growing with the defaults, 290 MB and flat with 64 of each, at
/// 3.5 % of the time.
const CACHES: [(&str, &str); 2] = [("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"), ("LRU_CACHE_CAPACITY", "64")];

/// Bounds the caches of native code, unless the environment already says how. The first call of `main`: both libraries read
/// their variable when they are first used.
pub fn bound_caches() {
    for (name, value) in CACHES {
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread exists yet that could read the environment at the same time.
            unsafe { std::env::set_var(name, value) }
        }
    }
}

/// Ends the process at once with a code, its output flushed, and no destructor of native code run: libtorch's static ones would
/// tear down what a worker's thread may still be using (a stalled thread cannot be joined), and turn a clear exit code into a
/// segmentation fault.
pub fn exit(code: u8) -> ! {
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: `_exit` takes any status, touches no memory of ours and never returns. What it leaves out, exit handlers and
    // destructors, holds nothing that must reach the disk: the database's state is guarded by its transactions.
    unsafe { libc::_exit(i32::from(code)) }
}
