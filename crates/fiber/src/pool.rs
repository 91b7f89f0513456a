//! Stacks kept for reuse, bounded.
//!
//! A fresh stack costs a mapping and page faults (about 12 us), a pooled one some
//! nanoseconds. Pages that a fiber touched stay with its stack unless
//! [`PoolConfig::trim`] says otherwise: giving them back costs about 4 us per reuse.
//! Stale bytes are harmless: compiled code never reads stack it did not write.
//!
//! Not here: the mapping itself (`stack`).
//!
//! # Safety
//!
//! The one unsafe block moves a stack out of a value that is being dropped.

use crate::stack::Stack;
use helve_base::{Result, ensure};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a pool makes and keeps.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Usable bytes of each stack (default 1 MiB for guests + 512 KiB for the host).
    pub stack_bytes: usize,
    /// Most stacks in use at one time (default 100,000).
    pub most: usize,
    /// Most unused stacks kept (default 1,000).
    pub keep: usize,
    /// Give all pages but the top this many bytes back to the kernel when a stack
    /// returns (default: keep them all).
    pub trim: Option<usize>,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig {
            stack_bytes: (1 << 20) + (512 << 10),
            most: 100_000,
            keep: 1_000,
            trim: None,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Stack>,
    used: usize,
}

/// A bounded set of stacks of one size.
#[derive(Debug)]
pub struct StackPool {
    config: PoolConfig,
    state: Mutex<State>,
}

impl StackPool {
    /// An empty pool.
    pub fn new(config: PoolConfig) -> Arc<StackPool> {
        Arc::new(StackPool {
            config,
            state: Mutex::default(),
        })
    }

    /// A stack, which goes back to the pool when it is dropped.
    pub fn take(self: &Arc<StackPool>) -> Result<PooledStack> {
        let idle = {
            let mut state = self.state();
            ensure!(
                state.used < self.config.most,
                "all {} fiber stacks of the pool are in use; allow more, or run fewer calls at one time",
                self.config.most
            );
            state.used += 1;
            state.idle.pop()
        };
        let stack = match idle {
            Some(stack) => stack,
            None => match Stack::new(self.config.stack_bytes) {
                Ok(stack) => stack,
                Err(error) => {
                    self.state().used -= 1;
                    return Err(error);
                }
            },
        };
        Ok(PooledStack {
            stack: ManuallyDrop::new(stack),
            pool: self.clone(),
        })
    }

    /// Stacks that are in use.
    pub fn used(&self) -> usize {
        self.state().used
    }

    /// Stacks that wait for reuse.
    pub fn idle(&self) -> usize {
        self.state().idle.len()
    }

    fn put(&self, mut stack: Stack) {
        if let Some(keep) = self.config.trim {
            stack.trim(keep);
        }
        let mut state = self.state();
        state.used -= 1;
        if state.idle.len() < self.config.keep {
            state.idle.push(stack);
        } else {
            drop(state); // unmapping needs no lock
            drop(stack);
        }
    }

    /// Nothing panics under this lock; were it poisoned, its state would still hold.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stack in use; goes back to its pool when dropped.
#[derive(Debug)]
pub struct PooledStack {
    stack: ManuallyDrop<Stack>,
    pool: Arc<StackPool>,
}

impl PooledStack {
    /// Whether its pool lets stacks keep the pages that were touched, so that whoever uses
    /// stacks again and again may hold on to some.
    pub fn keeps_pages(&self) -> bool {
        self.pool.config.trim.is_none()
    }
}

impl Deref for PooledStack {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl Drop for PooledStack {
    fn drop(&mut self) {
        // SAFETY: taken once only: `self` is going away.
        let stack = unsafe { ManuallyDrop::take(&mut self.stack) };
        self.pool.put(stack);
    }
}
