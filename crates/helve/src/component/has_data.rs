//! How generated bindings get from a store's data to the part that a host's traits are
//! implemented for.
//!
//! ```text
//! add_to_linker::<T, D>(linker, |data: &mut T| -> D::Data<'_> { .. })
//!     D = HasSelf<T>: Data<'a> = &'a mut T    the traits are implemented for T itself
//!     D = a marker of one's own: a view that borrows from T
//! ```
//!
//! [`Access`] is the same with the store at hand, for functions that need both. Not here:
//! the way of futures to their store (`concurrent::accessor`).

use crate::core::context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
use std::marker::PhantomData;

/// Names the view of a store's data that host traits are implemented for.
///
/// ```
/// use helve::component::{HasData, ResourceTable};
///
/// struct App { table: ResourceTable, name: String }
///
/// // The host's traits are implemented for `View<'_>`.
/// struct View<'a> { table: &'a mut ResourceTable, name: &'a str }
/// struct Views;
/// impl HasData for Views {
///     type Data<'a> = View<'a>;
/// }
/// // add_to_linker::<App, Views>(&mut linker, |app| View { table: &mut app.table, name: &app.name })
/// # let mut app = App { table: ResourceTable::new(), name: String::new() };
/// # let view = View { table: &mut app.table, name: &app.name };
/// # assert!(view.table.is_empty() && view.name.is_empty());
/// ```
pub trait HasData: 'static {
    /// The view, for as long as the store is lent.
    type Data<'a>;
}

/// The view that is the data itself: `&mut T`.
pub struct HasSelf<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<T: ?Sized + 'static> HasData for HasSelf<T> {
    type Data<'a> = &'a mut T;
}

impl<T: ?Sized> std::fmt::Debug for HasSelf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HasSelf<{}>", std::any::type_name::<T>())
    }
}

/// A store that is lent to a host function, with the way to the host's part of its data.
///
/// ```
/// use helve::component::{Access, HasSelf};
/// use helve::{AsContextMut, Config, Engine, Store};
/// let engine = Engine::new(&Config::new())?;
/// let mut store = Store::new(&engine, 1);
/// let mut access: Access<'_, u32, HasSelf<u32>> = Access::new(store.as_context_mut(), |data| data);
/// *access.get() += 1;
/// assert_eq!(*store.data(), 2);
/// # Ok::<(), helve::Error>(())
/// ```
pub struct Access<'a, T: 'static, D: HasData + ?Sized = HasSelf<T>> {
    store: StoreContextMut<'a, T>,
    getter: fn(&mut T) -> D::Data<'_>,
}

impl<'a, T: 'static, D: HasData + ?Sized> Access<'a, T, D> {
    /// The store, and how to find the host's part of its data.
    pub fn new(
        store: StoreContextMut<'a, T>,
        getter: fn(&mut T) -> D::Data<'_>,
    ) -> Access<'a, T, D> {
        Access { store, getter }
    }

    /// The host's part of the store's data.
    pub fn get(&mut self) -> D::Data<'_> {
        (self.getter)(self.store.data_mut())
    }

    /// How the host's part is found.
    pub fn getter(&self) -> fn(&mut T) -> D::Data<'_> {
        self.getter
    }
}

/// All that can be done with a store that is lent.
impl<'a, T: 'static, D: HasData + ?Sized> std::ops::Deref for Access<'a, T, D> {
    type Target = StoreContextMut<'a, T>;

    fn deref(&self) -> &StoreContextMut<'a, T> {
        &self.store
    }
}

impl<T: 'static, D: HasData + ?Sized> std::ops::DerefMut for Access<'_, T, D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.store
    }
}

impl<T: 'static, D: HasData + ?Sized> AsContext for Access<'_, T, D> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        self.store.as_context()
    }
}

impl<T: 'static, D: HasData + ?Sized> AsContextMut for Access<'_, T, D> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        self.store.as_context_mut()
    }
}

impl<T: 'static, D: HasData + ?Sized> std::fmt::Debug for Access<'_, T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}
