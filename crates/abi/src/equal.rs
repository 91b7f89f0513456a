//! Whether types of two interners are the same.
//!
//! Within one [`Types`] that is `==` on ids. Between two (the host's and a component's, or
//! two components') structures are compared; which resource types are the same only the
//! caller knows. Every pair of types is looked at once, so the cost is that of the
//! graphs, not of the trees.

use crate::types::*;
use std::collections::HashSet;

/// See [`Types::equal`].
struct Comparison<'a> {
    a: &'a Types,
    b: &'a Types,
    same: &'a mut dyn FnMut(ResourceTypeId, ResourceTypeId) -> bool,
    /// Pairs found equal so far. The first unequal pair ends the whole.
    equal: HashSet<(InterfaceType, InterfaceType)>,
}

impl Types {
    /// Whether `ty` here is `other_ty` there. `same` says whether a resource type here is
    /// one there.
    pub fn equal(
        &self,
        ty: InterfaceType,
        other: &Types,
        other_ty: InterfaceType,
        same: &mut dyn FnMut(ResourceTypeId, ResourceTypeId) -> bool,
    ) -> bool {
        Comparison {
            a: self,
            b: other,
            same,
            equal: HashSet::new(),
        }
        .types(ty, other_ty)
    }

    /// Whether function type `func` here is `other_func` there, names of parameters
    /// included.
    pub fn equal_funcs(
        &self,
        func: FuncTypeId,
        other: &Types,
        other_func: FuncTypeId,
        same: &mut dyn FnMut(ResourceTypeId, ResourceTypeId) -> bool,
    ) -> bool {
        let (a, b) = (&self[func], &other[other_func]);
        let mut types = Comparison {
            a: self,
            b: other,
            same,
            equal: HashSet::new(),
        };
        a.is_async == b.is_async
            && a.params.len() == b.params.len()
            && a.params
                .iter()
                .zip(&b.params)
                .all(|(a, b)| a.0 == b.0 && types.types(a.1, b.1))
            && types.options(a.result, b.result)
    }
}

impl Comparison<'_> {
    fn options(&mut self, a: Option<InterfaceType>, b: Option<InterfaceType>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.types(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    fn types(&mut self, a: InterfaceType, b: InterfaceType) -> bool {
        use InterfaceType::*;
        if self.equal.contains(&(a, b)) {
            return true;
        }
        let (ta, tb) = (self.a, self.b);
        let equal = match (a, b) {
            (Record(x), Record(y)) => {
                let (x, y) = (&ta[x].fields, &tb[y].fields);
                x.len() == y.len()
                    && x.iter()
                        .zip(y)
                        .all(|(x, y)| x.name == y.name && self.types(x.ty, y.ty))
            }
            (Variant(x), Variant(y)) => {
                let (x, y) = (&ta[x].cases, &tb[y].cases);
                x.len() == y.len()
                    && x.iter()
                        .zip(y)
                        .all(|(x, y)| x.name == y.name && self.options(x.ty, y.ty))
            }
            (Tuple(x), Tuple(y)) => {
                let (x, y) = (&ta[x].types, &tb[y].types);
                x.len() == y.len() && x.iter().zip(y).all(|(x, y)| self.types(*x, *y))
            }
            (List(x), List(y)) => self.types(ta[x].element, tb[y].element),
            (FixedList(x), FixedList(y)) => {
                ta[x].length == tb[y].length && self.types(ta[x].element, tb[y].element)
            }
            (Map(x), Map(y)) => {
                self.types(ta[x].key, tb[y].key) && self.types(ta[x].value, tb[y].value)
            }
            (Flags(x), Flags(y)) => ta[x] == tb[y],
            (Enum(x), Enum(y)) => ta[x] == tb[y],
            (Option(x), Option(y)) => self.types(ta[x].some, tb[y].some),
            (Result(x), Result(y)) => {
                let (x, y) = (ta[x], tb[y]);
                self.options(x.ok, y.ok) && self.options(x.err, y.err)
            }
            (Own(x), Own(y)) | (Borrow(x), Borrow(y)) => (self.same)(x, y),
            (Future(x), Future(y)) => self.options(ta[x].payload, tb[y].payload),
            (Stream(x), Stream(y)) => self.options(ta[x].element, tb[y].element),
            // Only types without parts are equal as they stand: ids of two interners
            // have nothing to do with each other.
            (x, y) => std::mem::discriminant(&x) == std::mem::discriminant(&y),
        };
        if equal {
            self.equal.insert((a, b));
        }
        equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InterfaceType as T;

    /// The same types in another order, so that ids differ.
    fn make(types: &mut Types, reverse: bool) -> Vec<InterfaceType> {
        let r = T::Own(ResourceTypeId::from_u32(u32::from(reverse)));
        let kinds: [&dyn Fn(&mut Types) -> InterfaceType; 8] = [
            &|t| t.record([("a", T::U8), ("b", r)]).unwrap(),
            &|t| t.record([("a", T::U8), ("c", r)]).unwrap(),
            &|t| t.variant([("a", Some(T::U8)), ("b", None)]).unwrap(),
            &|t| t.variant([("a", None), ("b", None)]).unwrap(),
            &|t| t.fixed_list(T::U8, 2).unwrap(),
            &|t| t.fixed_list(T::U8, 3).unwrap(),
            &|t| t.result(None, Some(T::String)).unwrap(),
            &|t| t.result(Some(T::String), None).unwrap(),
        ];
        let mut made = vec![T::U8; kinds.len()];
        let order: Vec<usize> = if reverse {
            (0..kinds.len()).rev().collect()
        } else {
            (0..kinds.len()).collect()
        };
        for i in order {
            made[i] = kinds[i](types);
        }
        made.extend([T::U8, T::S8, T::String, r]);
        made
    }

    #[test]
    fn structures_are_compared_and_ids_are_not() {
        let (mut a, mut b) = (Types::new(), Types::new());
        let (xs, ys) = (make(&mut a, false), make(&mut b, true));
        for (i, &x) in xs.iter().enumerate() {
            for (j, &y) in ys.iter().enumerate() {
                let mut same = |x: ResourceTypeId, y: ResourceTypeId| x.as_u32() + 1 == y.as_u32();
                assert_eq!(
                    a.equal(x, &b, y, &mut same),
                    i == j,
                    "{} {}",
                    a.display(x),
                    b.display(y)
                );
            }
        }
        assert!(!a.equal(xs[0], &b, ys[0], &mut |_, _| false));
        let f = a.func([("x", xs[0])], Some(xs[2]), false).unwrap();
        for (name, ty, is_async, want) in [
            ("x", ys[0], false, true),
            ("y", ys[0], false, false),
            ("x", ys[1], false, false),
            ("x", ys[0], true, false),
        ] {
            let g = b.func([(name, ty)], Some(ys[2]), is_async).unwrap();
            assert_eq!(a.equal_funcs(f, &b, g, &mut |_, _| true), want);
        }
    }

    #[test]
    fn huge_trees_are_compared_quickly() {
        let make = |types: &mut Types| {
            let mut ty = T::U8;
            for _ in 0..50 {
                let pair = types.tuple([ty, ty]).unwrap();
                ty = types.list(pair).unwrap();
            }
            ty
        };
        let (mut a, mut b) = (Types::new(), Types::new());
        let (x, y) = (make(&mut a), make(&mut b));
        assert!(a.equal(x, &b, y, &mut |_, _| false));
    }
}
