//! Randomness: the system's, or a fixed sequence for replays.

use helve::{Error, Result};

/// A source of random bytes.
pub struct Random(Source);

enum Source {
    System,
    /// SplitMix64's state: good enough to replay, not for secrets.
    Seeded(u64),
}

impl Random {
    /// The system's source.
    pub fn new() -> Random {
        Random(Source::System)
    }

    /// A fixed sequence.
    pub fn seeded(seed: u64) -> Random {
        Random(Source::Seeded(seed))
    }

    /// The next 64 bits.
    ///
    /// # Errors
    ///
    /// Where the system has no random bytes.
    pub fn u64(&mut self) -> Result<u64> {
        match &mut self.0 {
            Source::System => getrandom::u64().map_err(no_randomness),
            Source::Seeded(state) => Ok(split_mix(state)),
        }
    }

    /// The next `len` bytes; the caller has bounded `len`.
    ///
    /// # Errors
    ///
    /// Where the system has no random bytes.
    pub fn bytes(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        match &mut self.0 {
            Source::System => getrandom::fill(&mut bytes).map_err(no_randomness)?,
            Source::Seeded(state) => {
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&split_mix(state).to_le_bytes()[..chunk.len()]);
                }
            }
        }
        Ok(bytes)
    }
}

impl Default for Random {
    fn default() -> Random {
        Random::new()
    }
}

fn no_randomness(e: getrandom::Error) -> Error {
    Error::msg(format!("the system gives no random bytes: {e}"))
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
