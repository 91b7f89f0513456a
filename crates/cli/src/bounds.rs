//! How long and how far a guest may go: `--fuel`, `--timeout`, `--max-memory`,
//! `--max-stack`.
//!
//! What is not given costs nothing. Not here: what a guest may see (`grants`).

use clap::Args;
use helve::{Config, Engine, Result, Store};
use std::time::Duration;

/// Upper bounds on what the guest uses.
#[derive(Args, Clone, Debug, Default)]
pub struct Bounds {
    /// Stop the guest after about N instructions
    ///
    /// The same guest with the same input stops at the same point each time. It traps: exit
    /// code 134.
    #[arg(long, value_name = "N")]
    fuel: Option<u64>,

    /// Stop the guest after this long: 10s, 500ms, 2m
    ///
    /// It traps where it computes; where it waits for something outside, helve ends a second
    /// later. The exit code is 134 either way.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,

    /// Give the guest no more memory than this: 64M, 2G
    ///
    /// Counts all linear memories together. What asks for more is refused it, as by a machine
    /// that has no more.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    max_memory: Option<u64>,

    /// Give the guest no more stack than this: 256K, 8M (default 1M)
    ///
    /// Deeper calls trap.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    max_stack: Option<u64>,
}

/// How long after its time a guest that waits outside is ended.
const GRACE: Duration = Duration::from_secs(1);

impl Bounds {
    /// Sets up what an engine must know.
    pub fn configure(&self, config: &mut Config) {
        config.consume_fuel(self.fuel.is_some());
        config.epoch_interruption(self.timeout.is_some());
        if let Some(bytes) = self.max_memory {
            config.max_store_memory_bytes(bytes);
        }
        if let Some(bytes) = self.max_stack {
            config.max_guest_stack(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Starts counting for the guests of `store`; `late` is called where time is up and they
    /// have not stopped.
    ///
    /// # Errors
    ///
    /// Where there is no thread for the clock.
    pub fn start<T>(
        &self,
        store: &mut Store<T>,
        late: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        if let Some(fuel) = self.fuel {
            store.set_fuel(fuel)?;
        }
        if let Some(timeout) = self.timeout {
            store.set_epoch_deadline(1);
            let engine: Engine = store.engine().clone();
            std::thread::Builder::new()
                .name("timeout".into())
                .spawn(move || {
                    std::thread::sleep(timeout);
                    engine.increment_epoch();
                    std::thread::sleep(GRACE);
                    late();
                })?;
        }
        Ok(())
    }
}

/// `10s`, `500ms`, `2m`, `1.5h`; seconds where there is no unit.
fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(at.unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time such as 500ms, 10s, 2m or 1h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number and a unit")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|e| e.to_string())
}

/// `1000`, `64K`, `64M`, `2G`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(at.unwrap_or(text.len()));
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err("expected a size such as 64K, 64M or 2G".into()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number and a unit")?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_as_people_write_them() {
        let times = [
            ("2", 2000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ];
        for (text, millis) in times {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let sizes = [
            ("7", 7),
            ("64K", 64 << 10),
            ("3M", 3 << 20),
            ("2GiB", 2 << 30),
        ];
        for (text, size) in sizes {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "s", "1y", "-1s", "99999999999G", "1.5M"] {
            assert!(duration(text).is_err() || bytes(text).is_err(), "{text}");
        }
    }
}
