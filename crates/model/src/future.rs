//! How the two ends of a future meet: there is one value, it is copied once, and both
//! ends are done.
//!
//! A future's reader cannot find the writer dropped: a writable end can only be dropped
//! when it is done. Its buffers have length 1. What is shared, and all that is the same
//! for streams, is `stream`'s and `copy_end`'s.

use crate::stream::{Buffer, Meeting};

/// How an end meets the one that waits.
pub(crate) fn meet(mine: &Buffer, theirs: &Buffer) -> Meeting {
    Meeting::Copy(mine.remain().min(theirs.remain()))
}
