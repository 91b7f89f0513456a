//! Whether numbers come out the same on every machine: `--relaxed-simd-deterministic`,
//! `--nan-canonicalization`.
//!
//! Not here: in which order things happen (`--schedule`).

use clap::Args;
use helve::Config;

/// What WebAssembly leaves to the machine.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// Relaxed vector instructions compute the same on every machine
    ///
    /// Without this they are what this machine's CPU does fastest.
    #[arg(long)]
    relaxed_simd_deterministic: bool,

    /// NaNs that the guest computes have the same bits on every machine
    #[arg(long)]
    nan_canonicalization: bool,
}

impl Numbers {
    /// Sets up what an engine must know.
    pub fn configure(self, config: &mut Config) {
        config
            .relaxed_simd_deterministic(self.relaxed_simd_deterministic)
            .cranelift_nan_canonicalization(self.nan_canonicalization);
    }
}
