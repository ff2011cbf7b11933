//! What needs `unsafe`: the process's start and end, and the processor's own instructions for the int8 network. The only module
//! that may hold any; each block says why it is sound.

mod process;
mod vnni;
#[cfg(target_arch = "x86_64")]
mod vnni_x86;

pub use process::{bound_caches, exit};
pub use vnni::{Activation, Attention, Columns, Rows, TILE, Vnni};
