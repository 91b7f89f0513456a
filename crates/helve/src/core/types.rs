//! The engine's register of function types: equal types get equal ids.
//!
//! Types that refer to each other come in groups; two of them are equal where their groups
//! are equal as wholes and they stand at the same place.
//!
//! Compiled code compares these ids in `call_indirect`, so they are the same in every
//! module of one engine. Not here: module-local type indices (helve-compile).

use helve_base::PrimaryMap;
use helve_base::core_type::{FuncType, HeapType};
use helve_base::id::SharedTypeId;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};

/// The register. Types stay for the engine's life.
#[derive(Debug, Default)]
pub(crate) struct TypeRegistry(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    types: PrimaryMap<SharedTypeId, Arc<FuncType>>,
    ids: HashMap<Arc<FuncType>, SharedTypeId>,
    /// The first id of each group of several types, or of one that refers to itself.
    groups: HashMap<Box<[FuncType]>, SharedTypeId>,
}

/// Ids from here on stand for a place in the group at hand.
const IN_GROUP: u32 = 1 << 31;

impl TypeRegistry {
    /// The id of `ty`, given out now if it has none yet.
    pub fn intern(&self, ty: &FuncType) -> SharedTypeId {
        if let Some(&id) = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .ids
            .get(ty)
        {
            return id;
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = inner.ids.get(ty) {
            return id;
        }
        let ty = Arc::new(ty.clone());
        let id = inner.types.push(ty.clone());
        inner.ids.insert(ty, id);
        id
    }

    /// What stands, in a group that is to be interned, for the type at this place of it.
    pub fn in_group(place: usize) -> SharedTypeId {
        // Validation allows 1,000,000 types.
        SharedTypeId::from_u32(IN_GROUP | place as u32)
    }

    /// The ids of the types of a group, given out now if they have none yet.
    pub fn intern_group(&self, group: &[FuncType]) -> Vec<SharedTypeId> {
        let place_of = |heap: HeapType| match heap {
            HeapType::ConcreteFunc(id) if id.as_u32() >= IN_GROUP => Some(id.as_u32() & !IN_GROUP),
            _ => None,
        };
        if let [alone] = group
            && !alone.heap_types().any(|heap| place_of(heap).is_some())
        {
            return vec![self.intern(alone)];
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let first = match inner.groups.get(group) {
            Some(&first) => first.as_u32(),
            None => {
                let first = inner.types.len() as u32;
                for ty in group {
                    let resolved = ty.map_heap_types(|heap| match place_of(heap) {
                        Some(place) => Ok::<_, Infallible>(HeapType::ConcreteFunc(
                            SharedTypeId::from_u32(first + place),
                        )),
                        None => Ok(heap),
                    });
                    let Ok(resolved) = resolved;
                    inner.types.push(Arc::new(resolved));
                }
                inner
                    .groups
                    .insert(group.into(), SharedTypeId::from_u32(first));
                first
            }
        };
        (first..first + group.len() as u32)
            .map(SharedTypeId::from_u32)
            .collect()
    }

    /// The type behind `id`, unless another engine gave it out.
    pub fn get(&self, id: SharedTypeId) -> Option<Arc<FuncType>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .types
            .get(id)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helve_base::core_type::ValType::{F64, I32};
    use helve_base::core_type::{RefType, ValType};

    #[test]
    fn groups_are_equal_as_wholes() {
        let registry = TypeRegistry::default();
        let refers = |id| {
            let ty = RefType {
                nullable: true,
                heap: HeapType::ConcreteFunc(id),
            };
            FuncType::new([ValType::Ref(ty)], [])
        };
        let own = registry.intern_group(&[refers(TypeRegistry::in_group(0))]);
        assert_eq!(
            registry.intern_group(&[refers(TypeRegistry::in_group(0))]),
            own
        );
        assert_eq!(registry.get(own[0]).as_deref(), Some(&refers(own[0])));
        let pair = [
            refers(TypeRegistry::in_group(1)),
            refers(TypeRegistry::in_group(0)),
        ];
        let ids = registry.intern_group(&pair);
        assert_eq!(registry.intern_group(&pair), ids);
        assert_eq!(registry.get(ids[0]).as_deref(), Some(&refers(ids[1])));
        assert!(!ids.contains(&own[0]));
        // Alone, a type that refers to an earlier one is no group.
        let outer = registry.intern_group(&[refers(own[0])]);
        assert_eq!(outer, [registry.intern(&refers(own[0]))]);
    }

    #[test]
    fn equal_types_get_equal_ids() {
        let registry = TypeRegistry::default();
        let a = registry.intern(&FuncType::new([I32], [F64]));
        let b = registry.intern(&FuncType::new([F64], [F64]));
        assert_ne!(a, b);
        assert_eq!(registry.intern(&FuncType::new([I32], [F64])), a);
        assert_eq!(
            registry.get(b).as_deref(),
            Some(&FuncType::new([F64], [F64]))
        );
        assert_eq!(registry.get(SharedTypeId::from_u32(9)), None);
    }
}
