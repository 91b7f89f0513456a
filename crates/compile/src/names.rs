//! Names of functions, kept small: one string with all of them, and where each stands.
//!
//! They come from the `name` section, which has no say about validity: what is malformed
//! there is left out. Not here: demangling (the embedder's, when it prints).

use helve_base::id::FuncIndex;

/// Function names by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionNames {
    text: String,
    /// (function, start in `text`, end in `text`), sorted by function.
    at: Vec<(FuncIndex, u32, u32)>,
}

impl FunctionNames {
    /// The name of a function, if it has one.
    pub fn get(&self, func: FuncIndex) -> Option<&str> {
        let i = self.at.binary_search_by_key(&func, |&(f, ..)| f).ok()?;
        let &(_, start, end) = self.at.get(i)?;
        self.text.get(start as usize..end as usize)
    }

    /// How many functions have one.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether no function has one.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// From (function, name) in any order; the first of several for one function wins.
    pub(crate) fn collect<'a>(names: impl Iterator<Item = (FuncIndex, &'a str)>) -> FunctionNames {
        let mut all = FunctionNames::default();
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

    #[test]
    fn finds_names_whatever_their_order() {
        let f = FuncIndex::from_u32;
        let names = FunctionNames::collect([(f(7), "b"), (f(2), "a"), (f(7), "c")].into_iter());
        assert_eq!(names.get(f(2)), Some("a"));
        assert_eq!(names.get(f(7)), Some("b"));
        assert_eq!(names.get(f(3)), None);
        assert_eq!(names.len(), 2);
    }
}
