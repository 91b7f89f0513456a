//! Random components and their mutants, for tests here and long runs in `fuzz/`.
//!
//! ```text
//!  rng -> types -> generate --\
//!  bases/*.wat, scripts -------> mutate -> harness (values) -> Outcome
//! ```

pub mod bases;
pub mod generate;
pub mod harness;
pub mod mutate;
pub mod rng;
pub mod types;
pub mod values;
