//! What instances import and export, and when one thing may stand for another.

use crate::core::context::AsContext;
use crate::core::func::Func;
use crate::core::global::{Global, Tag};
use crate::core::memory::Memory;
use crate::core::store::{StoreId, StoreOpaque};
use crate::core::table::Table;
use crate::core::typed::TypedFunc;
use helve_base::core_type::{ExternType, GlobalType, MemoryType, TableType};
use helve_base::{Result, ensure};

/// Anything that an instance can import or export.
///
/// ```
/// # use helve::{Engine, Config, Store, core::*};
/// # let engine = Engine::new(&Config::new())?;
/// # let mut store = Store::new(&engine, ());
/// let module = Module::new(&engine, r#"(module (memory (export "m") 2))"#)?;
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let memory = instance.get_export(&store, "m").and_then(Extern::into_memory);
/// assert_eq!(memory.expect("it is one").size(&store)?, 2);
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
    /// A global.
    Global(Global),
    /// A tag.
    Tag(Tag),
}

impl Extern {
    /// The function, if it is one.
    pub fn into_func(self) -> Option<Func> {
        if let Extern::Func(f) = self {
            Some(f)
        } else {
            None
        }
    }

    /// The table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        if let Extern::Table(t) = self {
            Some(t)
        } else {
            None
        }
    }

    /// The memory, if it is one.
    pub fn into_memory(self) -> Option<Memory> {
        if let Extern::Memory(m) = self {
            Some(m)
        } else {
            None
        }
    }

    /// The global, if it is one.
    pub fn into_global(self) -> Option<Global> {
        if let Extern::Global(g) = self {
            Some(g)
        } else {
            None
        }
    }

    /// The tag, if it is one.
    pub fn into_tag(self) -> Option<Tag> {
        if let Extern::Tag(t) = self {
            Some(t)
        } else {
            None
        }
    }

    /// Its type; sizes are those at present.
    ///
    /// # Errors
    ///
    /// Where `store` is not its own.
    pub fn ty(&self, store: impl AsContext) -> Result<ExternType> {
        self.type_in(store.as_context().opaque())
    }

    pub(crate) fn type_in(&self, store: &StoreOpaque) -> Result<ExternType> {
        Ok(match self {
            Extern::Func(f) => ExternType::Func((*f.shared_type(store)?).clone()),
            Extern::Table(t) => {
                let table = t.record(store)?;
                ExternType::Table(TableType {
                    minimum: table.len(),
                    ..*table.ty()
                })
            }
            Extern::Memory(m) => {
                let memory = m.record(store)?;
                ExternType::Memory(MemoryType {
                    minimum: memory.pages(),
                    ..*memory.ty()
                })
            }
            Extern::Global(g) => ExternType::Global(g.ty),
            Extern::Tag(t) => {
                let id = t.type_id(store)?;
                let ty = store.engine().types().get(id);
                ExternType::Tag(
                    ty.map(|ty| (*ty).clone())
                        .unwrap_or_else(|| helve_base::core_type::FuncType::new([], [])),
                )
            }
        })
    }

    pub(crate) fn store(&self) -> StoreId {
        match self {
            Extern::Func(f) => f.store,
            Extern::Table(t) => t.store,
            Extern::Memory(m) => m.store,
            Extern::Global(g) => g.store,
            Extern::Tag(t) => t.store,
        }
    }
}

macro_rules! into_extern {
    ($($ty:ident),*) => {$(
        impl From<$ty> for Extern {
            fn from(it: $ty) -> Extern {
                Extern::$ty(it)
            }
        }
    )*};
}

into_extern!(Func, Table, Memory, Global, Tag);

impl<P, R> From<TypedFunc<P, R>> for Extern {
    fn from(it: TypedFunc<P, R>) -> Extern {
        Extern::Func(it.func())
    }
}

/// Fails unless a thing of type `actual` may stand where `wanted` is imported. Types are
/// engine-wide.
pub(crate) fn check_import(wanted: &ExternType, actual: &ExternType) -> Result<()> {
    let fits = match (wanted, actual) {
        (ExternType::Func(w), ExternType::Func(a)) | (ExternType::Tag(w), ExternType::Tag(a)) => {
            w == a
        }
        (ExternType::Table(w), ExternType::Table(a)) => {
            w.element == a.element
                && w.table64 == a.table64
                && sizes_fit((w.minimum, w.maximum), (a.minimum, a.maximum))
        }
        (ExternType::Memory(w), ExternType::Memory(a)) => {
            w.memory64 == a.memory64
                && w.shared == a.shared
                && w.page_size_log2 == a.page_size_log2
                && sizes_fit((w.minimum, w.maximum), (a.minimum, a.maximum))
        }
        (ExternType::Global(w), ExternType::Global(a)) => global_fits(w, a),
        _ => false,
    };
    ensure!(
        fits,
        "incompatible import type: expected {}, found {}",
        describe(wanted),
        describe(actual)
    );
    Ok(())
}

fn sizes_fit(wanted: (u64, Option<u64>), actual: (u64, Option<u64>)) -> bool {
    let maximum_fits = match (wanted.1, actual.1) {
        (None, _) => true,
        (Some(wanted), Some(actual)) => actual <= wanted,
        (Some(_), None) => false,
    };
    actual.0 >= wanted.0 && maximum_fits
}

fn global_fits(wanted: &GlobalType, actual: &GlobalType) -> bool {
    wanted.mutable == actual.mutable
        && if wanted.mutable {
            wanted.content == actual.content
        } else {
            actual.content.is_subtype_of(wanted.content)
        }
}

fn describe(ty: &ExternType) -> String {
    let sizes = |minimum: u64, maximum: Option<u64>| match maximum {
        Some(maximum) => format!("{minimum} to {maximum}"),
        None => format!("{minimum} or more"),
    };
    match ty {
        ExternType::Func(f) => format!("function {f}"),
        ExternType::Table(t) => format!(
            "table{} of {} {}",
            if t.table64 { " (64-bit)" } else { "" },
            sizes(t.minimum, t.maximum),
            helve_base::core_type::ValType::Ref(t.element)
        ),
        ExternType::Memory(m) => format!(
            "{}memory{} of {} pages of {} bytes",
            if m.shared { "shared " } else { "" },
            if m.memory64 { " (64-bit)" } else { "" },
            sizes(m.minimum, m.maximum),
            m.page_size()
        ),
        ExternType::Global(g) => format!(
            "{} global {}",
            if g.mutable { "mutable" } else { "immutable" },
            g.content
        ),
        ExternType::Tag(t) => format!("tag {t}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(minimum: u64, maximum: Option<u64>) -> ExternType {
        ExternType::Memory(MemoryType {
            minimum,
            maximum,
            memory64: false,
            shared: false,
            page_size_log2: 16,
        })
    }

    #[test]
    fn sizes_must_promise_at_least_as_much() {
        let cases = [
            (memory(1, None), memory(1, None), true),
            (memory(1, None), memory(2, Some(3)), true),
            (memory(2, None), memory(1, None), false),
            (memory(1, Some(3)), memory(1, Some(3)), true),
            (memory(1, Some(3)), memory(1, Some(4)), false),
            (memory(1, Some(3)), memory(1, None), false),
        ];
        for (wanted, actual, fits) in cases {
            assert_eq!(
                check_import(&wanted, &actual).is_ok(),
                fits,
                "{wanted:?} {actual:?}"
            );
        }
    }
}
