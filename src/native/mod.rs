//! What needs `unsafe`: the process's start and end, and the processor's own instructions for the int8 network. The only module
//! that may hold any; each block says why it is sound.

#[cfg(target_arch = "x86_64")]
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod float;
#[cfg(target_arch = "x86_64")]
mod gelu;
mod kernels;
mod process;
#[cfg(target_arch = "x86_64")]
mod simd;

pub use kernels::{Activation, Attention, CACHE_LINE, Columns, Kernels, Packing, Rows, Scratch, UNIT};
pub use process::{bound_caches, exit};
