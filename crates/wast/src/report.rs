//! What became of a script: how many directives held, and where the others stand.

use std::fmt;

/// A directive that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The script's name as it was given.
    pub script: String,
    /// Where the directive starts; lines and columns count from 1.
    pub line: usize,
    /// See [`Failure::line`].
    pub column: usize,
    /// What was expected and what came.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.script, self.line, self.column, self.message
        )
    }
}

/// What became of a script.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Directives that held.
    pub held: usize,
    /// Those that did not, in the script's order.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Whether every directive held.
    pub fn is_success(&self) -> bool {
        self.failures.is_empty()
    }

    /// Takes in what became of a thread of the script.
    pub(crate) fn add(&mut self, other: Report) {
        self.held += other.held;
        self.failures.extend(other.failures);
    }
}
