//! What types contain, as far as generated code depends on it.
//!
//! A type that holds strings or lists is passed by reference where the host only lends it;
//! one without handles can be cloned; one that stands as an error becomes `Error` in Rust.

use std::collections::{HashMap, HashSet};
use wit_parser::{Function, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem};

/// What one type contains, itself or in a part.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fact {
    /// Strings, lists, maps: what owns memory.
    pub(crate) owns_memory: bool,
    /// Handles, streams, futures: what must not be copied.
    pub(crate) handle: bool,
}

impl Fact {
    fn or(self, other: Fact) -> Fact {
        Fact {
            owns_memory: self.owns_memory || other.owns_memory,
            handle: self.handle || other.handle,
        }
    }
}

/// Facts of every type of a [`Resolve`], and which of them are errors in this world.
pub(crate) struct Facts {
    types: HashMap<TypeId, Fact>,
    errors: HashSet<TypeId>,
}

impl Facts {
    pub(crate) fn new(resolve: &Resolve, world: WorldId) -> Facts {
        let mut facts = Facts {
            types: HashMap::new(),
            errors: HashSet::new(),
        };
        // Types stand after those they are made of.
        for (id, def) in resolve.types.iter() {
            let fact = facts.of_kind(&def.kind);
            facts.types.insert(id, fact);
        }
        let world = &resolve.worlds[world];
        for item in world.imports.values().chain(world.exports.values()) {
            match item {
                WorldItem::Function(function) => facts.note_error(resolve, function),
                WorldItem::Interface { id, .. } => {
                    for function in resolve.interfaces[*id].functions.values() {
                        facts.note_error(resolve, function);
                    }
                }
                WorldItem::Type { .. } => {}
            }
        }
        facts
    }

    fn note_error(&mut self, resolve: &Resolve, function: &Function) {
        let Some(Type::Id(id)) = function.result else {
            return;
        };
        if let TypeDefKind::Result(result) = &resolve.types[dealias(resolve, id)].kind
            && let Some(Type::Id(error)) = result.err
        {
            self.errors.insert(dealias(resolve, error));
        }
    }

    fn of_kind(&self, kind: &TypeDefKind) -> Fact {
        let optional = |ty: &Option<Type>| ty.map_or(Fact::default(), |ty| self.of(ty));
        let all = |types: &mut dyn Iterator<Item = Type>| {
            types.fold(Fact::default(), |fact, ty| fact.or(self.of(ty)))
        };
        let list = Fact {
            owns_memory: true,
            handle: false,
        };
        let handle = Fact {
            owns_memory: false,
            handle: true,
        };
        match kind {
            TypeDefKind::Record(record) => all(&mut record.fields.iter().map(|field| field.ty)),
            TypeDefKind::Tuple(tuple) => all(&mut tuple.types.iter().copied()),
            TypeDefKind::Variant(variant) => {
                all(&mut variant.cases.iter().filter_map(|case| case.ty))
            }
            TypeDefKind::Option(ty)
            | TypeDefKind::FixedLengthList(ty, _)
            | TypeDefKind::Type(ty) => self.of(*ty),
            TypeDefKind::Result(result) => optional(&result.ok).or(optional(&result.err)),
            TypeDefKind::List(ty) => list.or(self.of(*ty)),
            TypeDefKind::Map(key, value) => list.or(self.of(*key)).or(self.of(*value)),
            TypeDefKind::Handle(_) | TypeDefKind::Future(_) | TypeDefKind::Stream(_) => handle,
            TypeDefKind::Flags(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Resource
            | TypeDefKind::Unknown => Fact::default(),
        }
    }

    /// What `ty` contains.
    pub(crate) fn of(&self, ty: Type) -> Fact {
        match ty {
            Type::String => Fact {
                owns_memory: true,
                handle: false,
            },
            Type::ErrorContext => Fact {
                // passed as its message
                owns_memory: true,
                handle: false,
            },
            Type::Id(id) => self.types.get(&id).copied().unwrap_or_default(),
            _ => Fact::default(),
        }
    }

    /// Whether a function of the world fails with this type.
    pub(crate) fn is_error(&self, id: TypeId) -> bool {
        self.errors.contains(&id)
    }
}

/// The type that `id` is another name for, in the end.
pub(crate) fn dealias(resolve: &Resolve, mut id: TypeId) -> TypeId {
    while let TypeDefKind::Type(Type::Id(other)) = resolve.types[id].kind {
        id = other;
    }
    id
}
