//! What a guest was denied, told once for each grant that was missing.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What was denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denied {
    /// Use of the network, as a rule that would allow it (see `host::net::NetRule`).
    Network(String),
    /// A change in the granted folder of this name, which was granted for reading only.
    ReadOnly(String),
    /// A path that leads out of the granted folder of this name.
    Outside(String),
    /// Values of `wasi:config`: none at all were given.
    Config,
    /// The bucket of this name, of `wasi:keyvalue`.
    Bucket(String),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Network(rule) => write!(f, "use of the network: {rule}"),
            Denied::ReadOnly(name) => write!(f, "a change in `{name}`, which is read-only"),
            Denied::Outside(name) => write!(f, "a path that leads out of `{name}`"),
            Denied::Config => f.write_str("a configuration: it has no value at all"),
            Denied::Bucket(name) => write!(f, "the key-value bucket `{name}`"),
        }
    }
}

type Listener = Arc<dyn Fn(&Denied) + Send + Sync>;

/// Whom to tell of denials; clones share what was told already.
#[derive(Clone, Default)]
pub struct Denials {
    listener: Option<Listener>,
    told: Arc<Mutex<HashSet<Denied>>>,
}

/// Denials that are told of one guest; it chooses their number.
const MOST_TOLD: usize = 20;

impl Denials {
    /// Tells `listener`, each thing once and at most 20 of them.
    pub fn new(listener: impl Fn(&Denied) + Send + Sync + 'static) -> Denials {
        Denials {
            listener: Some(Arc::new(listener)),
            told: Arc::default(),
        }
    }

    /// Tells of one, unless it was told before.
    pub fn tell(&self, denied: Denied) {
        let Some(listener) = &self.listener else {
            return;
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_TOLD && told.insert(denied.clone()) {
            drop(told);
            listener(&denied);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_not_without_end() {
        let told = Arc::new(Mutex::new(0));
        let count = told.clone();
        let denials = Denials::new(move |_| *count.lock().unwrap() += 1);
        denials.tell(Denied::ReadOnly("/a".into()));
        denials.clone().tell(Denied::ReadOnly("/a".into()));
        assert_eq!(*told.lock().unwrap(), 1);
        for i in 0..100 {
            denials.tell(Denied::Network(i.to_string()));
        }
        assert_eq!(*told.lock().unwrap(), MOST_TOLD);
    }
}
