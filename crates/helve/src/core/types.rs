//! The engine's register of function types: equal types get equal ids.
//!
//! Compiled code compares these ids in `call_indirect`, so they are the same in every
//! module of one engine. Not here: module-local type indices (helve-compile).

use helve_base::PrimaryMap;
use helve_base::core_type::FuncType;
use helve_base::id::SharedTypeId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The register. Types stay for the engine's life.
#[derive(Debug, Default)]
pub(crate) struct TypeRegistry(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    types: PrimaryMap<SharedTypeId, Arc<FuncType>>,
    ids: HashMap<Arc<FuncType>, SharedTypeId>,
}

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
