//! The executor: tokio's, which hosts that wait need.

use helve::{Error, Result};
use std::future::Future;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Runs `future` on the executor that this thread is in, beside the guest.
///
/// # Errors
/// Where there is none: guests that wait are called from within tokio's.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<AbortHandle> {
    Ok(handle()?.spawn(future).abort_handle())
}

/// Runs `work`, which waits for a disk, on a thread for such things.
///
/// # Errors
/// As for [`spawn`].
pub fn spawn_blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<tokio::task::JoinHandle<R>> {
    Ok(handle()?.spawn_blocking(work))
}

fn handle() -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        Error::msg(
            "a host function has to wait, and this thread runs no tokio executor: call the \
             guest with `call_async` inside one",
        )
    })
}

/// Runs `future` to its end on this thread, with an executor of its own.
///
/// # Errors
/// Where the system has no descriptors left for one.
pub fn on<R>(future: impl Future<Output = R>) -> Result<R> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::new)?;
    let result = runtime.block_on(future);
    // A name lookup that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    Ok(result)
}
