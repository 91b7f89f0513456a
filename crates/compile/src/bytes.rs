//! The bytes of a module: shared, and possibly a part of a bigger file.
//!
//! A component holds its modules inside itself; lazily compiled functions read their
//! bodies long after loading. So a module keeps a handle on the whole and a range in it.
//! Positions that Helve reports (ranges of data segments, wasm offsets) count from the
//! start of the module's own range.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Shared bytes; cheap to clone.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All the bytes of `owner`, which may be a `Vec<u8>`, a mapped file, ...
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Bytes {
        let len = (*owner).as_ref().len();
        Bytes {
            owner,
            range: 0..len,
        }
    }

    /// The part of these bytes in `range`, or `None` where that lies outside.
    pub fn slice(&self, range: Range<usize>) -> Option<Bytes> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end).then(|| Bytes {
            owner: self.owner.clone(),
            range: start..end,
        })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // An owner whose bytes shrink later would be at fault; it then looks empty.
        (*self.owner)
            .as_ref()
            .get(self.range.clone())
            .unwrap_or(&[])
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({:?})", self.range)
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Bytes {
        Bytes::new(Arc::new(bytes))
    }
}

impl From<&Arc<[u8]>> for Bytes {
    fn from(bytes: &Arc<[u8]>) -> Bytes {
        bytes.clone().into()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::new(Arc::new(bytes))
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        bytes.to_vec().into()
    }
}

impl From<&Bytes> for Bytes {
    fn from(bytes: &Bytes) -> Bytes {
        bytes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn slices_of_slices_stay_inside() {
        let all = Bytes::from(vec![0, 1, 2, 3, 4, 5]);
        let part = all.slice(1..5).expect("inside");
        assert_eq!(&*part, [1, 2, 3, 4]);
        assert_eq!(&*part.slice(1..3).expect("inside"), [2, 3]);
        assert!(part.slice(0..5).is_none());
        assert!(part.slice(usize::MAX..usize::MAX).is_none());
    }
}
