//! "compiling app.wasm, 3 s": a line on stderr once it takes longer than a second and a
//! person is watching; gone when the work is done.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Shows the line for as long as it lives.
pub struct Progress {
    /// Dropping it ends the thread.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to watch the clock for `what`.
    pub fn start(what: String) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress {
                end: None,
                thread: None,
            };
        }
        let (end, ended) = mpsc::channel();
        let thread = std::thread::spawn(move || show(&what, &ended));
        Progress {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

fn show(what: &str, ended: &mpsc::Receiver<()>) {
    let start = Instant::now();
    let mut shown = false;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(1)) {
        // Nobody is hurt if stderr takes no more.
        let _ = write!(
            std::io::stderr(),
            "\r{what}, {} s",
            start.elapsed().as_secs()
        );
        shown = true;
    }
    if shown {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
