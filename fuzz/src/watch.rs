//! Runs seeds in a child that may crash, hang or eat memory, and goes on after it.
//!
//! ```text
//!  parent: starts child, reads State now and then ---- state file ---- child: writes it
//!    child ends / no progress in 20 s of its own time / more than 3 GiB -> finding, next seed
//! ```
//! Not here: what the child does.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What a child counts.
pub const NAMES: [&str; 7] = [
    "seed",
    "run",
    "valid",
    "instantiated",
    "reached a call",
    "calls",
    "returned",
];

/// Numbers shared through a file.
pub struct State {
    file: File,
    pub numbers: [u64; NAMES.len()],
}

impl State {
    pub fn open(path: &str) -> State {
        let file = File::options().read(true).write(true).open(path);
        State {
            file: file.expect("the state file"),
            numbers: [0; NAMES.len()],
        }
    }

    /// Says that `seed` starts.
    pub fn start(&mut self, seed: u64) {
        self.numbers[0] = seed;
        self.write();
    }

    pub fn write(&self) {
        let bytes: Vec<u8> = self.numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.file
            .write_all_at(&bytes, 0)
            .expect("writing the state");
    }

    fn read(&mut self) {
        let mut bytes = [0; NAMES.len() * 8];
        if self.file.read_exact_at(&mut bytes, 0).is_ok() {
            for (number, chunk) in self.numbers.iter_mut().zip(bytes.chunks(8)) {
                *number = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
            }
        }
    }
}

/// Runs `what` over `from..to`.
pub fn run(what: &str, from: u64, to: u64) {
    let path = std::env::temp_dir().join(format!("helve-fuzz-{what}-{}", std::process::id()));
    let exe = std::env::current_exe().expect("this program");
    let mut next = from;
    let mut sums = [0u64; NAMES.len()];
    let mut findings = 0;
    let mut told = Instant::now();
    while next < to {
        std::fs::write(&path, [0; NAMES.len() * 8]).expect("a state file");
        let text = path.to_str().expect("a path in UTF-8");
        let mut state = State::open(text);
        let args = [
            format!("{what}-worker"),
            next.to_string(),
            to.to_string(),
            text.to_owned(),
        ];
        let mut child = Command::new(&exe)
            .args(&args)
            .env("RAYON_NUM_THREADS", "1")
            .spawn()
            .expect("a child");
        let end = watch(&mut child, &mut state, |state| {
            if told.elapsed() > Duration::from_secs(60) {
                told = Instant::now();
                report(what, &sums, &state.numbers, findings);
            }
        });
        state.read();
        sums.iter_mut()
            .zip(state.numbers)
            .skip(1)
            .for_each(|(sum, n)| *sum += n);
        match end {
            None => next = to,
            Some(finding) => {
                findings += 1;
                println!("FINDING {what} {}: {finding}", state.numbers[0]);
                next = state.numbers[0].max(next) + 1;
            }
        }
    }
    report(what, &sums, &[0; NAMES.len()], findings);
    let _ = std::fs::remove_file(path);
}

fn report(what: &str, sums: &[u64], now: &[u64], findings: usize) {
    let mut text = format!("{what}:");
    for ((name, sum), now) in NAMES.iter().zip(sums).zip(now).skip(1) {
        text += &format!(" {} {name},", sum + now);
    }
    println!("{text} {findings} children lost");
}

/// Waits for the end of the child; what went wrong, if anything.
fn watch(child: &mut Child, state: &mut State, mut tell: impl FnMut(&State)) -> Option<String> {
    let (mut seed, mut since) = (u64::MAX, 0.0);
    loop {
        if let Some(status) = child.try_wait().expect("the child's status") {
            return (!status.success()).then(|| format!("the child ended: {status}"));
        }
        std::thread::sleep(Duration::from_millis(300));
        state.read();
        tell(state);
        let (seconds, bytes) = usage(child.id());
        if state.numbers[0] != seed {
            (seed, since) = (state.numbers[0], seconds);
        }
        let wrong = if seconds - since > 20.0 {
            "no end after 20 s".to_owned()
        } else if bytes > 3 << 30 {
            format!("{bytes} bytes of memory")
        } else {
            continue;
        };
        let _ = child.kill();
        let _ = child.wait();
        return Some(wrong);
    }
}

/// A process's processor seconds and resident bytes.
fn usage(pid: u32) -> (f64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<u64> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or(0);
    ((field(11) + field(12)) as f64 / 100.0, field(21) * 4096)
}
