//! Resources as the embedder sees them: [`Resource`], [`ResourceAny`], [`ResourceType`].
//!
//! A resource *of the host* is a `u32` representation that the host chose (mostly an index
//! of a [`ResourceTable`](super::ResourceTable)); [`Resource`] is that number with a Rust
//! type beside it, and costs nothing. Of a resource *of a guest* the host only ever holds
//! a [`ResourceAny`]: a key to the store's own table, which knows what is lent and ended.
//!
//! Not here: guests' handle tables (`handles`), destructors of guests (`builtins`).

use crate::component::handles::HostHandle;
use crate::component::state::InstanceData;
use crate::component::typed::*;
use crate::core::context::AsContextMut;
use crate::core::store::StoreId;
use helve_abi::types::ResourceTypeId;
use helve_base::{Error, Result, bail, ensure};
use std::any::TypeId;
use std::marker::PhantomData;

/// Which resource type a resource has.
///
/// ```
/// # use helve::{Config, Engine, component::{Linker, ResourceType}};
/// # let engine = Engine::new(&Config::new())?;
/// struct File;
/// let mut linker: Linker<Vec<u32>> = Linker::new(&engine);
/// let mut files = linker.instance("example:files/types")?;
/// files.resource("file", ResourceType::host::<File>(), |mut store, rep| {
///     store.data_mut().push(rep); // dropped
///     Ok(())
/// })?;
/// # Ok::<(), helve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceType(pub(crate) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Of the host, standing for this Rust type.
    Host(TypeId),
    /// Of a component instance of this store.
    Guest(StoreId, u64),
    /// Of a component that is not instantiated.
    Uninstantiated(ResourceTypeId),
}

impl ResourceType {
    /// The host's resource type that stands for `T`: what [`Resource<T>`] is checked
    /// against. `T` need not have values.
    pub fn host<T: 'static>() -> ResourceType {
        ResourceType(Kind::Host(TypeId::of::<T>()))
    }
}

/// A resource of the host: its representation, and the Rust type it stands for.
///
/// Whoever has an owned one must drop the resource (mostly by deleting it from a
/// [`ResourceTable`](super::ResourceTable)), or give it to a guest; a borrowed one ends
/// with the call that it came with.
///
/// ```
/// use helve::component::{Resource, ResourceTable};
/// struct File(String);
/// let mut table = ResourceTable::new();
/// let file: Resource<File> = table.push(File("a.txt".into()))?;
/// // A guest gets `file`, and later lends it: a host function has a `Resource<File>` again.
/// assert_eq!(table.get(&file)?.0, "a.txt");
/// table.delete(file)?;
/// # Ok::<(), helve::component::ResourceTableError>(())
/// ```
pub struct Resource<T: 'static> {
    rep: u32,
    owned: bool,
    stands_for: PhantomData<fn() -> T>,
}

impl<T: 'static> Resource<T> {
    /// An owned resource of this representation.
    pub fn new_own(rep: u32) -> Resource<T> {
        Resource {
            rep,
            owned: true,
            stands_for: PhantomData,
        }
    }

    /// A borrowed resource of this representation.
    pub fn new_borrow(rep: u32) -> Resource<T> {
        Resource {
            rep,
            owned: false,
            stands_for: PhantomData,
        }
    }

    /// The representation.
    pub fn rep(&self) -> u32 {
        self.rep
    }

    /// Whether this owns the resource.
    pub fn owned(&self) -> bool {
        self.owned
    }

    /// The same without its Rust type, as dynamic values have it. Fails where no instance
    /// of the store knows resources of `T`.
    pub fn try_into_resource_any(self, mut store: impl AsContextMut) -> Result<ResourceAny> {
        let mut store = store.as_context_mut();
        let opaque = store.opaque();
        let shared = opaque.components.shared();
        let ty = ResourceType::host::<T>();
        let Some(key) = shared.find_resource(ty) else {
            bail!(
                "no component instance of this store uses resources of `{}`: define it with LinkerInstance::resource first",
                std::any::type_name::<T>()
            );
        };
        let handle = shared.host_handles.insert(key, self.rep, self.owned)?;
        Ok(ResourceAny {
            handle,
            ty,
            owned: self.owned,
            store: opaque.id(),
        })
    }
}

impl<T> std::fmt::Debug for Resource<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.owned { "own" } else { "borrow" };
        write!(
            f,
            "Resource<{}>({kind} {})",
            std::any::type_name::<T>(),
            self.rep
        )
    }
}

impl<T: 'static> ComponentType for Resource<T> {
    const LAYOUT: Layout = Layout::BYTES4;
    const NEEDS_TYPE: bool = true;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        match ty {
            InterfaceType::Own(id) | InterfaceType::Borrow(id)
                if cx.resource(id) == ResourceType::host::<T>() =>
            {
                Ok(())
            }
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => Err(cx.mismatch(
                std::any::type_name::<Resource<T>>(),
                format_args!("{}, another resource type", cx.types().display(ty)),
            )),
            _ => Err(cx.mismatch_type(std::any::type_name::<Resource<T>>(), ty)),
        }
    }
}

impl<T: 'static> Resource<T> {
    #[inline]
    fn index(&self, cx: &mut LowerContext<'_>, ty: InterfaceType) -> Result<u32> {
        match ty {
            InterfaceType::Own(id) if self.owned => cx.lower_own(self.rep, id),
            InterfaceType::Own(_) => Err(self.is_borrowed()),
            InterfaceType::Borrow(id) => cx.lower_borrow(self.rep, id),
            _ => Err(not_a_handle()),
        }
    }

    #[cold]
    fn is_borrowed(&self) -> Error {
        Error::msg(format!(
            "{self:?} is borrowed: a guest that takes `own` needs an owned one"
        ))
    }

    #[inline]
    fn from_index(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<Resource<T>> {
        match ty {
            InterfaceType::Own(id) => Ok(Resource::new_own(cx.lift_own(index, id)?)),
            InterfaceType::Borrow(id) => Ok(Resource::new_borrow(cx.lift_borrow(index, id)?)),
            _ => Err(not_a_handle()),
        }
    }
}

/// A resource of any type, of the host or of a guest, that the host holds.
///
/// An owned one must be given to a guest or dropped with [`ResourceAny::resource_drop`];
/// a borrowed one ends with the call that it came with. Copies are the same handle.
///
/// ```
/// # use helve::{Config, Engine, Result, Store, component::{Resource, ResourceType}};
/// # struct File;
/// # fn example(mut store: Store<()>) -> Result<()> {
/// // A function of any type takes and gives it; here one of the host's own, whose type a
/// // component in `store` imports.
/// let any = Resource::<File>::new_own(7).try_into_resource_any(&mut store)?;
/// assert_eq!((any.ty(), any.owned()), (ResourceType::host::<File>(), true));
/// assert_eq!(any.try_into_resource::<File>(&mut store)?.rep(), 7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceAny {
    handle: HostHandle,
    ty: ResourceType,
    owned: bool,
    store: StoreId,
}

impl ResourceAny {
    /// What the store's table knows as `handle`.
    pub(crate) fn new(
        instance: &InstanceData,
        id: ResourceTypeId,
        handle: HostHandle,
        owned: bool,
    ) -> ResourceAny {
        ResourceAny {
            handle,
            ty: instance.resource_type(id),
            owned,
            store: instance.store_id(),
        }
    }

    /// Its type.
    pub fn ty(&self) -> ResourceType {
        self.ty
    }

    /// Whether this owns the resource.
    pub fn owned(&self) -> bool {
        self.owned
    }

    pub(crate) fn handle(&self) -> HostHandle {
        self.handle
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    /// The same where only the store's address is at hand, as in the event loop.
    pub(crate) fn destroy(
        &self,
        store: crate::core::store::StorePtr,
        shared: &crate::component::store::StoreShared,
    ) -> Result<()> {
        let (key, rep, owned) = shared.host_handles.remove(self.handle)?;
        match owned {
            true => crate::component::builtins::resource::destroy(store, shared, key, rep, None),
            false => Ok(()),
        }
    }

    /// Drops the handle; of an owned one, the resource too, whose destructor runs.
    ///
    /// # Errors
    ///
    /// Where it is lent, was given away, or `store` is not its own; what the destructor fails
    /// with.
    pub fn resource_drop(self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        let opaque = store.opaque();
        opaque.check(self.store)?;
        let shared = opaque.components.shared();
        let (key, rep, owned) = shared.host_handles.remove(self.handle)?;
        if owned {
            let ptr = store.store_ptr();
            crate::component::builtins::resource::destroy(ptr, &shared, key, rep, None)?;
        }
        Ok(())
    }

    /// The same as a resource of the host, where it is one that stands for `T`. This
    /// handle is gone then.
    pub fn try_into_resource<T: 'static>(
        self,
        mut store: impl AsContextMut,
    ) -> Result<Resource<T>> {
        ensure!(
            self.ty == ResourceType::host::<T>(),
            "this resource is not one of the host's `{}`",
            std::any::type_name::<T>()
        );
        let mut store = store.as_context_mut();
        let opaque = store.opaque();
        opaque.check(self.store)?;
        let (_, rep, owned) = opaque
            .components
            .shared()
            .host_handles
            .remove(self.handle)?;
        Ok(Resource {
            rep,
            owned,
            stands_for: PhantomData,
        })
    }
}

impl ComponentType for ResourceAny {
    const LAYOUT: Layout = Layout::BYTES4;
    const NEEDS_TYPE: bool = true;

    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()> {
        match ty {
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => Ok(()),
            _ => Err(cx.mismatch_type("resource", ty)),
        }
    }
}

impl ResourceAny {
    fn index(&self, cx: &mut LowerContext<'_>, ty: InterfaceType) -> Result<u32> {
        cx.lower_any(self, ty)
    }

    fn from_index(cx: &mut LiftContext<'_>, ty: InterfaceType, index: u32) -> Result<ResourceAny> {
        cx.lift_any(index, ty)
    }
}

macro_rules! handles {
    ($([$($generic:tt)*] $ty:ty;)*) => {$(
        impl<$($generic)*> Lower for $ty {
            fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()> {
                let index = self.index(cx, ty)?;
                set_lane(dst, Lane::from_u32(index))
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()> {
                let index = self.index(cx, ty)?;
                cx.put(at, &index.to_le_bytes())
            }
        }

        impl<$($generic)*> Lift for $ty {
            fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Result<Self> {
                let index = get_lane(src)?.u32();
                Self::from_index(cx, ty, index)
            }

            fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
                let index = cx.discriminant(bytes, 4)?;
                Self::from_index(cx, ty, index)
            }
        }
    )*};
}

handles! {
    [T: 'static] Resource<T>;
    [] ResourceAny;
}

#[cold]
pub(crate) fn not_a_handle() -> Error {
    Error::new(helve_base::Bug("a handle met a type that is none".into()))
}
