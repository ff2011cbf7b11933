//! The end of the process, and the only unsafe code of the project.

use std::io::Write;

/// Ends the process at once with a code, its output flushed, and no destructor of native code run: libtorch's static ones would
/// tear down what a worker's thread may still be using (a stalled thread cannot be joined), and turn a clear exit code into a
/// segmentation fault.
pub fn now(code: u8) -> ! {
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: `_exit` takes any status, touches no memory of ours and never returns. What it leaves out, exit handlers and
    // destructors, holds nothing that must reach the disk: the database's state is guarded by its transactions.
    unsafe { libc::_exit(i32::from(code)) }
}
