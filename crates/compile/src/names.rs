//! Names of functions, kept small: one string with all of them, and where each stands.
//!
//! They come from the `name` section, which has no say about validity: what is malformed
//! there is left out. Not here: demangling (the embedder's, when it prints).

use crate::bytes::Bytes;
use helve_base::id::FuncIndex;
use std::sync::{Arc, OnceLock};
use wasmparser::{BinaryReader, Name, NameSectionReader};

/// Function names by index, read when one is first asked for.
#[derive(Clone, Debug, Default)]
pub struct FunctionNames {
    /// The contents of the `name` section.
    section: Option<Bytes>,
    read: Arc<OnceLock<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    text: String,
    /// (function, start in `text`, end in `text`), sorted by function.
    at: Vec<(FuncIndex, u32, u32)>,
}

impl FunctionNames {
    /// The names in the contents of a `name` section.
    pub(crate) fn new(section: Bytes) -> FunctionNames {
        FunctionNames {
            section: Some(section),
            read: Arc::default(),
        }
    }

    /// The name of a function, if it has one.
    pub fn get(&self, func: FuncIndex) -> Option<&str> {
        let table = self.table()?;
        let i = table.at.binary_search_by_key(&func, |&(f, ..)| f).ok()?;
        let &(_, start, end) = table.at.get(i)?;
        table.text.get(start as usize..end as usize)
    }

    /// How many functions have one.
    pub fn len(&self) -> usize {
        self.table().map_or(0, |table| table.at.len())
    }

    /// Whether no function has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn table(&self) -> Option<&Table> {
        let section = self.section.as_ref()?;
        Some(self.read.get_or_init(|| Table::read(section)))
    }
}

impl Table {
    fn read(section: &[u8]) -> Table {
        let parts = NameSectionReader::new(BinaryReader::new(section, 0));
        let maps = parts
            .map_while(|part| part.ok())
            .filter_map(|part| match part {
                Name::Function(map) => Some(map),
                _ => None,
            });
        let Some(map) = maps.last() else {
            return Table::default();
        };
        let known = map.into_iter().map_while(|naming| naming.ok());
        Table::collect(known.map(|naming| (FuncIndex::from_u32(naming.index), naming.name)))
    }

    /// From (function, name) in any order; the first of several for one function wins.
    fn collect<'a>(names: impl Iterator<Item = (FuncIndex, &'a str)>) -> Table {
        let mut all = Table::default();
        for (func, name) in names {
            let start = all.text.len();
            let (Ok(from), Ok(to)) = (u32::try_from(start), u32::try_from(start + name.len()))
            else {
                break;
            };
            all.text.push_str(name);
            all.at.push((func, from, to));
        }
        all.at.sort_by_key(|&(func, ..)| func);
        all.at.dedup_by_key(|&mut (func, ..)| func);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section with one map: (function, name), as they come.
    fn names(of: &[(u8, &str)]) -> FunctionNames {
        let mut map = vec![of.len() as u8];
        for (func, name) in of {
            map.extend([*func, name.len() as u8]);
            map.extend(name.as_bytes());
        }
        let mut section = vec![1, map.len() as u8];
        section.extend(map);
        FunctionNames::new(section.into())
    }

    #[test]
    fn finds_names_whatever_their_order() {
        let f = FuncIndex::from_u32;
        let table = Table::collect([(f(7), "b"), (f(2), "a"), (f(7), "c")].into_iter());
        let read = Arc::new(OnceLock::from(table));
        let section = Some(Vec::new().into());
        for names in [
            FunctionNames { section, read },
            names(&[(2, "a"), (7, "b")]),
        ] {
            assert_eq!(names.get(f(2)), Some("a"));
            assert_eq!(names.get(f(7)), Some("b"));
            assert_eq!(names.get(f(3)), None);
            assert_eq!(names.len(), 2);
        }
        assert!(FunctionNames::default().is_empty());
    }

    #[test]
    fn what_is_malformed_is_left_out() {
        let whole = names(&[(0, "one"), (1, "two")]).section.expect("given");
        for len in 0..whole.len() {
            let cut = FunctionNames::new(whole[..len].into());
            assert!(cut.len() < 2, "cut at {len}");
        }
    }
}
