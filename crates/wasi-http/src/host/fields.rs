//! Header and trailer fields, bounded in number and size, with the names that a guest may
//! not set.
//!
//! Names are compared without regard to case and returned as they were first written.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;
use std::sync::Arc;

/// Why a field was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are WASI's own")]
pub enum FieldError {
    InvalidSyntax,
    Forbidden,
    Immutable,
    SizeExceeded,
}

/// What a face's function on fields fails with.
pub type Fault = helve_wasi::Fault<FieldError>;

impl helve_wasi::Tellable for FieldError {}

/// Bounds of one set of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLimits {
    /// Fields (default 1000; at most 24,576, which is what the map beneath holds).
    pub fields: usize,
    /// Bytes of all names and values, and 32 for each field (default 128 KiB).
    pub bytes: usize,
}

impl Default for FieldLimits {
    fn default() -> FieldLimits {
        FieldLimits {
            fields: 1000,
            bytes: 128 << 10,
        }
    }
}

/// What each field counts beyond its bytes, as HTTP/2 counts.
const OVERHEAD: usize = 32;
/// The map of the crate `http` takes no more.
const MOST_FIELDS: usize = 24_576;

/// A set of fields.
///
/// Copies share what they have until one of them is changed.
#[derive(Clone, Debug)]
pub struct Fields {
    map: Arc<HeaderMap>,
    /// Names that were first written with capitals.
    written: Arc<HashMap<HeaderName, String>>,
    bytes: usize,
    immutable: bool,
    limits: FieldLimits,
}

/// Names that concern a connection, and so the host alone.
fn is_forbidden(name: &HeaderName) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.contains(&name.as_str())
}

fn size(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + OVERHEAD
}

impl Fields {
    /// No fields, to be changed.
    pub fn new(limits: FieldLimits) -> Fields {
        Fields {
            map: Arc::default(),
            written: Arc::default(),
            bytes: 0,
            immutable: false,
            limits,
        }
    }

    /// These fields, that a guest lists.
    ///
    /// # Errors
    /// Where one is not allowed, or they are too many.
    pub fn of(entries: Vec<(String, Vec<u8>)>, limits: FieldLimits) -> Result<Fields, FieldError> {
        let mut fields = Fields::new(limits);
        for (name, value) in entries {
            fields.append(&name, value)?;
        }
        Ok(fields)
    }

    /// Fields that came over the network, not to be changed.
    pub fn received(map: HeaderMap, limits: FieldLimits) -> Fields {
        Fields {
            bytes: map.iter().map(|(name, value)| size(name, value)).sum(),
            map: Arc::new(map),
            written: Arc::default(),
            immutable: true,
            limits,
        }
    }

    /// The same fields, not to be changed.
    pub fn frozen(&self) -> Fields {
        let mut fields = self.clone();
        fields.immutable = true;
        fields
    }

    /// A copy to be changed.
    pub fn thawed(&self) -> Fields {
        let mut fields = self.clone();
        fields.immutable = false;
        fields
    }

    /// As the crate `http` has them.
    pub fn map(&self) -> &HeaderMap {
        &self.map
    }

    /// As the crate `http` has them.
    pub fn into_map(self) -> HeaderMap {
        Arc::unwrap_or_clone(self.map)
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        parse(name).is_ok_and(|name| self.map.contains_key(name))
    }

    /// The values of all fields of this name.
    pub fn get(&self, name: &str) -> Vec<Vec<u8>> {
        let Ok(name) = parse(name) else {
            return Vec::new();
        };
        let values = self.map.get_all(name);
        values.iter().map(|v| v.as_bytes().to_vec()).collect()
    }

    /// All names and values.
    pub fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let entries = self.map.iter().map(|(name, value)| {
            let name = match self.written.get(name) {
                Some(written) => written.clone(),
                None => name.as_str().to_owned(),
            };
            (name, value.as_bytes().to_vec())
        });
        entries.collect()
    }

    /// Adds a field.
    ///
    /// # Errors
    ///
    /// Where the name or value is none, the name is not the guest's to set, or there are too
    /// many.
    pub fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), FieldError> {
        let key = self.changeable(name)?;
        let value = parse_value(value)?;
        self.add(name, key, value)
    }

    /// Replaces all fields of this name.
    ///
    /// # Errors
    ///
    /// Where the name or a value is none, the name is not the guest's to set, or there are
    /// too many.
    pub fn set(&mut self, name: &str, values: Vec<Vec<u8>>) -> Result<(), FieldError> {
        let key = self.changeable(name)?;
        let values: Vec<HeaderValue> = values
            .into_iter()
            .map(parse_value)
            .collect::<Result<_, _>>()?;
        self.remove(&key);
        for value in values {
            self.add(name, key.clone(), value)?;
        }
        Ok(())
    }

    /// Takes out all fields of this name.
    ///
    /// # Errors
    ///
    /// Where the name is none, or not the guest's to set.
    pub fn delete(&mut self, name: &str) -> Result<Vec<Vec<u8>>, FieldError> {
        let key = parse(name)?;
        if self.immutable {
            return Err(FieldError::Immutable);
        }
        let removed = self.remove(&key);
        Ok(removed.iter().map(|v| v.as_bytes().to_vec()).collect())
    }

    fn changeable(&self, name: &str) -> Result<HeaderName, FieldError> {
        let key = parse(name)?;
        if self.immutable {
            return Err(FieldError::Immutable);
        }
        if is_forbidden(&key) {
            return Err(FieldError::Forbidden);
        }
        Ok(key)
    }

    fn add(&mut self, name: &str, key: HeaderName, value: HeaderValue) -> Result<(), FieldError> {
        let bytes = self.bytes.saturating_add(size(&key, &value));
        let most = self.limits.fields.min(MOST_FIELDS);
        if bytes > self.limits.bytes || self.map.len() >= most {
            return Err(FieldError::SizeExceeded);
        }
        if !self.map.contains_key(&key) && key.as_str() != name {
            Arc::make_mut(&mut self.written).insert(key.clone(), name.to_owned());
        }
        let added = Arc::make_mut(&mut self.map).try_append(key, value);
        added.map_err(|_| FieldError::SizeExceeded)?;
        self.bytes = bytes;
        Ok(())
    }

    fn remove(&mut self, key: &HeaderName) -> Vec<HeaderValue> {
        if !self.map.contains_key(key) {
            return Vec::new();
        }
        Arc::make_mut(&mut self.written).remove(key);
        let map = Arc::make_mut(&mut self.map);
        let http::header::Entry::Occupied(entry) = map.entry(key) else {
            return Vec::new();
        };
        let (_, values) = entry.remove_entry_mult();
        let values: Vec<HeaderValue> = values.collect();
        let freed: usize = values.iter().map(|value| size(key, value)).sum();
        self.bytes = self.bytes.saturating_sub(freed);
        values
    }
}

fn parse(name: &str) -> Result<HeaderName, FieldError> {
    // The crate `http` lets a quote pass, which is no letter of a name.
    if name.contains('"') {
        return Err(FieldError::InvalidSyntax);
    }
    HeaderName::try_from(name).map_err(|_| FieldError::InvalidSyntax)
}

fn parse_value(value: Vec<u8>) -> Result<HeaderValue, FieldError> {
    let value = HeaderValue::from_maybe_shared(Bytes::from(value));
    value.map_err(|_| FieldError::InvalidSyntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_bounded_in_number_and_size() {
        let limits = FieldLimits {
            fields: 3,
            bytes: 3 * OVERHEAD + 12,
        };
        let mut fields = Fields::new(limits);
        for _ in 0..3 {
            fields.append("a", b"123".to_vec()).unwrap();
        }
        assert_eq!(fields.append("b", vec![]), Err(FieldError::SizeExceeded));
        fields.delete("A").unwrap();
        assert_eq!(
            fields.append("b", vec![b'x'; 3 * OVERHEAD]),
            Err(FieldError::SizeExceeded)
        );
        fields.append("b", vec![b'x'; 75]).unwrap();
    }

    #[test]
    fn more_fields_than_the_map_holds_are_refused() {
        let limits = FieldLimits {
            fields: usize::MAX,
            bytes: usize::MAX,
        };
        let mut fields = Fields::new(limits);
        let refused = (0..40_000).find(|i| fields.append(&format!("x{i}"), vec![]).is_err());
        assert_eq!(refused, Some(MOST_FIELDS));
        let mut fields = Fields::new(limits);
        let refused = (0..40_000).find(|_| fields.append("x", vec![]).is_err());
        assert_eq!(refused, Some(MOST_FIELDS));
    }

    #[test]
    fn copies_go_their_own_ways() {
        let mut fields = Fields::new(FieldLimits::default());
        fields.append("A", b"1".to_vec()).unwrap();
        let frozen = fields.frozen();
        let mut thawed = frozen.thawed();
        thawed.append("b", b"2".to_vec()).unwrap();
        fields.delete("a").unwrap();
        assert_eq!(fields.entries(), []);
        assert_eq!(frozen.entries(), [("A".into(), b"1".to_vec())]);
        assert!(thawed.has("a") && thawed.has("b") && !frozen.has("b"));
    }

    #[test]
    fn names_keep_their_first_form() {
        let mut fields = Fields::new(FieldLimits::default());
        fields.append("X-One", b"1".to_vec()).unwrap();
        fields.append("x-one", b"2".to_vec()).unwrap();
        let names: Vec<String> = fields.entries().into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["X-One", "X-One"]);
        assert_eq!(fields.get("x-ONE"), [b"1", b"2"]);
        assert_eq!(fields.set("Host", vec![]), Err(FieldError::Forbidden));
        assert_eq!(fields.frozen().delete("y"), Err(FieldError::Immutable));
    }
}
