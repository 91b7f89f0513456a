//! A table of the host's resources: Rust values by the number that guests hold.
//!
//! ```text
//!  parent  <-- push_child -- child     a parent can't be deleted before its children
//! ```
//!
//! Values of one type stand in one list, so that making and deleting them allocates nothing
//! once the list is as long as it gets.
//!
//! Mostly one per store, in its data. Typed by what [`Resource`] says, and checked: a
//! guest can't make one of these operations panic. Not here: guests' handle tables.

use crate::component::resource::Resource;
use ResourceTableError::NotPresent;
use std::any::{Any, TypeId};
use std::collections::BTreeSet;

/// Rust values that resources stand for.
///
/// ```
/// use helve::component::{ResourceTable, ResourceTableError};
/// let mut table = ResourceTable::new();
/// let folder = table.push("folder")?;
/// let file = table.push_child(1_u64, &folder)?;
/// assert_eq!(table.delete(folder), Err(ResourceTableError::HasChildren));
/// assert_eq!(table.delete(file)?, 1);
/// # Ok::<(), ResourceTableError>(())
/// ```
#[derive(Debug, Default)]
pub struct ResourceTable {
    slots: Vec<Slot>,
    /// The values, by type: there are few, and they are only looked for where a value is
    /// put in.
    lists: Vec<(TypeId, Box<dyn List>)>,
    /// The free slot that is used next, if there is one.
    free: Option<usize>,
    used: usize,
    most: Option<usize>,
}

#[derive(Debug)]
enum Slot {
    Free { next: Option<usize> },
    Used(Entry),
}

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    list: u32,
    at: u32,
}

/// Values of one type.
struct Values<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

/// The same, of whatever type.
trait List: Any + Send {
    fn get(&self, at: u32) -> Option<&(dyn Any + Send)>;
    fn get_mut(&mut self, at: u32) -> Option<&mut (dyn Any + Send)>;
    fn take(&mut self, at: u32) -> Option<Box<dyn Any + Send>>;
}

impl<T: Send + 'static> List for Values<T> {
    fn get(&self, at: u32) -> Option<&(dyn Any + Send)> {
        let value = self.values.get(at as usize)?.as_ref()?;
        Some(value)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut (dyn Any + Send)> {
        let value = self.values.get_mut(at as usize)?.as_mut()?;
        Some(value)
    }

    fn take(&mut self, at: u32) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(self.remove(at)?))
    }
}

impl<T> Values<T> {
    fn add(&mut self, value: T) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            *self.values.get_mut(at as usize)? = Some(value);
            return Some(at);
        }
        let at = u32::try_from(self.values.len()).ok()?;
        self.values.push(Some(value));
        Some(at)
    }

    fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.values.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(value)
    }
}

impl std::fmt::Debug for dyn List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("List")
    }
}

#[derive(Debug)]
struct Entry {
    place: Place,
    parent: Option<u32>,
    /// Most have none.
    #[expect(
        clippy::box_collection,
        reason = "room for them in each entry is to be small"
    )]
    children: Option<Box<BTreeSet<u32>>>,
}

impl Entry {
    fn has_children(&self) -> bool {
        self.children.is_some()
    }

    fn add(&mut self, child: u32) {
        self.children.get_or_insert_default().insert(child);
    }

    fn remove(&mut self, child: u32) {
        if let Some(children) = &mut self.children {
            children.remove(&child);
        }
        self.children.take_if(|children| children.is_empty());
    }
}

/// Why a [`ResourceTable`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceTableError {
    /// The table holds as much as it may.
    Full,
    /// Nothing stands at this number (any more).
    NotPresent,
    /// What stands there has another type.
    WrongType,
    /// It has children that must be deleted first.
    HasChildren,
}

impl std::fmt::Display for ResourceTableError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ResourceTableError::Full => "resource table is full",
            ResourceTableError::NotPresent => "resource not present",
            ResourceTableError::WrongType => "resource is of another type",
            ResourceTableError::HasChildren => "resource has children, which must be deleted first",
        })
    }
}

impl std::error::Error for ResourceTableError {}

impl ResourceTable {
    /// An empty table.
    pub fn new() -> ResourceTable {
        ResourceTable::default()
    }

    /// An empty table that never holds more than `most` values.
    pub fn with_max(most: usize) -> ResourceTable {
        ResourceTable {
            most: Some(most),
            ..ResourceTable::default()
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many values are in it.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Puts a value in.
    ///
    /// # Errors
    ///
    /// Where the table is full: see [`ResourceTable::with_max`].
    pub fn push<T: Send + 'static>(&mut self, value: T) -> Result<Resource<T>, ResourceTableError> {
        let rep = self.insert(value, None)?;
        Ok(Resource::new_own(rep))
    }

    /// Puts a value in that `parent` must outlive.
    ///
    /// # Errors
    ///
    /// Where the table is full, or has no such parent.
    pub fn push_child<T: Send + 'static, U: 'static>(
        &mut self,
        value: T,
        parent: &Resource<U>,
    ) -> Result<Resource<T>, ResourceTableError> {
        self.entry(parent.rep())?;
        let rep = self.insert(value, Some(parent.rep()))?;
        self.entry_mut(parent.rep())?.add(rep);
        Ok(Resource::new_own(rep))
    }

    /// Makes an existing `child` one of `parent`'s children.
    ///
    /// # Errors
    ///
    /// Where there is no such value.
    pub fn add_child<T: 'static, U: 'static>(
        &mut self,
        child: Resource<T>,
        parent: Resource<U>,
    ) -> Result<(), ResourceTableError> {
        self.entry(parent.rep())?;
        self.entry_mut(child.rep())?.parent = Some(parent.rep());
        self.entry_mut(parent.rep())?.add(child.rep());
        Ok(())
    }

    /// Makes `child` nobody's child.
    ///
    /// # Errors
    ///
    /// Where there is no such value.
    pub fn remove_child<T: 'static, U: 'static>(
        &mut self,
        child: Resource<T>,
        parent: Resource<U>,
    ) -> Result<(), ResourceTableError> {
        self.entry_mut(child.rep())?.parent = None;
        self.entry_mut(parent.rep())?.remove(child.rep());
        Ok(())
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// Where there is no such value, or it is of another type.
    pub fn get<T: 'static>(&self, resource: &Resource<T>) -> Result<&T, ResourceTableError> {
        let place = self.entry(resource.rep())?.place;
        let (_, list) = self.lists.get(place.list as usize).ok_or(NotPresent)?;
        let list: &dyn Any = &**list;
        let values = list.downcast_ref::<Values<T>>();
        let values = &values.ok_or(ResourceTableError::WrongType)?.values;
        let value = values.get(place.at as usize).and_then(Option::as_ref);
        value.ok_or(NotPresent)
    }

    /// The value, to change.
    ///
    /// # Errors
    ///
    /// Where there is no such value, or it is of another type.
    pub fn get_mut<T: 'static>(
        &mut self,
        resource: &Resource<T>,
    ) -> Result<&mut T, ResourceTableError> {
        let place = self.entry(resource.rep())?.place;
        let values = &mut self.values(place)?.values;
        let value = values.get_mut(place.at as usize).and_then(Option::as_mut);
        value.ok_or(NotPresent)
    }

    /// The list that holds a value, if that is a `T`.
    #[inline]
    fn values<T: 'static>(&mut self, place: Place) -> Result<&mut Values<T>, ResourceTableError> {
        let (_, list) = self.lists.get_mut(place.list as usize).ok_or(NotPresent)?;
        let list: &mut dyn Any = &mut **list;
        let values = list.downcast_mut::<Values<T>>();
        values.ok_or(ResourceTableError::WrongType)
    }

    /// The value at a number, of whatever type.
    ///
    /// # Errors
    ///
    /// Where there is no such value.
    #[inline]
    pub fn get_any(&self, rep: u32) -> Result<&(dyn Any + Send), ResourceTableError> {
        let place = self.entry(rep)?.place;
        let list = self.lists.get(place.list as usize);
        list.and_then(|(_, list)| list.get(place.at))
            .ok_or(NotPresent)
    }

    /// The value at a number, of whatever type, to change.
    ///
    /// # Errors
    ///
    /// Where there is no such value.
    #[inline]
    pub fn get_any_mut(&mut self, rep: u32) -> Result<&mut (dyn Any + Send), ResourceTableError> {
        let place = self.entry(rep)?.place;
        let list = self.lists.get_mut(place.list as usize);
        list.and_then(|(_, list)| list.get_mut(place.at))
            .ok_or(NotPresent)
    }

    /// Takes the value out.
    ///
    /// # Errors
    ///
    /// Where there is no such value, it is of another type, or has children.
    pub fn delete<T: 'static>(&mut self, resource: Resource<T>) -> Result<T, ResourceTableError> {
        let place = self.entry(resource.rep())?.place;
        self.values::<T>(place)?;
        self.remove_entry(resource.rep())?;
        self.values::<T>(place)?.remove(place.at).ok_or(NotPresent)
    }

    /// Takes the value at a number out, of whatever type.
    ///
    /// # Errors
    ///
    /// Where there is no such value, or it has children.
    pub fn delete_any(&mut self, rep: u32) -> Result<Box<dyn Any + Send>, ResourceTableError> {
        let place = self.remove_entry(rep)?;
        let list = self.lists.get_mut(place.list as usize);
        list.and_then(|(_, list)| list.take(place.at))
            .ok_or(NotPresent)
    }

    /// Frees a number: where its value stands, which is still there.
    fn remove_entry(&mut self, rep: u32) -> Result<Place, ResourceTableError> {
        if self.entry(rep)?.has_children() {
            return Err(ResourceTableError::HasChildren);
        }
        let free = Slot::Free { next: self.free };
        let Some(slot) = self.slots.get_mut(rep as usize) else {
            return Err(ResourceTableError::NotPresent);
        };
        let Slot::Used(entry) = std::mem::replace(slot, free) else {
            return Err(ResourceTableError::NotPresent);
        };
        self.free = Some(rep as usize);
        self.used -= 1;
        if let Some(parent) = entry.parent
            && let Ok(parent) = self.entry_mut(parent)
        {
            parent.remove(rep);
        }
        Ok(entry.place)
    }

    /// The children of `parent`, of whatever type, in order of their numbers.
    ///
    /// # Errors
    ///
    /// Where there is no such parent.
    pub fn iter_children<T: 'static>(
        &self,
        parent: &Resource<T>,
    ) -> Result<impl Iterator<Item = &(dyn Any + Send)>, ResourceTableError> {
        let children = self
            .entry(parent.rep())?
            .children
            .iter()
            .flat_map(|it| it.iter());
        Ok(children.filter_map(|&rep| self.get_any(rep).ok()))
    }

    #[inline]
    fn entry(&self, rep: u32) -> Result<&Entry, ResourceTableError> {
        match self.slots.get(rep as usize) {
            Some(Slot::Used(entry)) => Ok(entry),
            _ => Err(ResourceTableError::NotPresent),
        }
    }

    #[inline]
    fn entry_mut(&mut self, rep: u32) -> Result<&mut Entry, ResourceTableError> {
        match self.slots.get_mut(rep as usize) {
            Some(Slot::Used(entry)) => Ok(entry),
            _ => Err(ResourceTableError::NotPresent),
        }
    }

    /// Where a value of this type goes.
    #[inline]
    fn place<T: Send + 'static>(&mut self, value: T) -> Option<Place> {
        let ty = TypeId::of::<T>();
        let list = match self.lists.iter().position(|(other, _)| *other == ty) {
            Some(list) => list,
            None => {
                let values = Values::<T> {
                    values: Vec::new(),
                    free: Vec::new(),
                };
                self.lists.push((ty, Box::new(values)));
                self.lists.len() - 1
            }
        };
        let place = |at| Place {
            list: list as u32,
            at,
        };
        self.values::<T>(place(0)).ok()?.add(value).map(place)
    }

    fn insert<T: Send + 'static>(
        &mut self,
        value: T,
        parent: Option<u32>,
    ) -> Result<u32, ResourceTableError> {
        if self.most.is_some_and(|most| self.used >= most) {
            return Err(ResourceTableError::Full);
        }
        let entry = Slot::Used(Entry {
            place: self.place(value).ok_or(ResourceTableError::Full)?,
            parent,
            children: None,
        });
        let at = match self.free {
            Some(at) => {
                let Some(slot) = self.slots.get_mut(at) else {
                    return Err(ResourceTableError::NotPresent);
                };
                if let Slot::Free { next } = slot {
                    self.free = *next;
                }
                *slot = entry;
                at
            }
            None => {
                self.slots.push(entry);
                self.slots.len() - 1
            }
        };
        self.used += 1;
        u32::try_from(at).map_err(|_| ResourceTableError::Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_by_type_and_number() {
        let mut table = ResourceTable::new();
        let a = table.push("a").unwrap();
        let b = table.push(2u64).unwrap();
        assert_eq!(table.get(&a), Ok(&"a"));
        *table.get_mut(&b).unwrap() += 1;
        assert_eq!(
            table.get(&Resource::<u32>::new_borrow(b.rep())),
            Err(ResourceTableError::WrongType)
        );
        assert_eq!(
            table.delete(Resource::<u32>::new_own(b.rep())).unwrap_err(),
            ResourceTableError::WrongType
        );
        let rep = b.rep();
        assert_eq!(table.delete(b), Ok(3));
        assert_eq!(
            table.get(&Resource::<u64>::new_borrow(rep)),
            Err(ResourceTableError::NotPresent)
        );
        assert_eq!(
            table.push('c').unwrap().rep(),
            rep,
            "a freed number is used again"
        );
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn parents_outlive_children() {
        let mut table = ResourceTable::new();
        let parent = table.push(1u8).unwrap();
        let child = table.push_child(2u16, &parent).unwrap();
        let rep = parent.rep();
        assert_eq!(
            table.delete(Resource::<u8>::new_own(rep)),
            Err(ResourceTableError::HasChildren)
        );
        let children: Vec<_> = table
            .iter_children(&parent)
            .unwrap()
            .map(|c| c.downcast_ref::<u16>())
            .collect();
        assert_eq!(children, [Some(&2)]);
        table.delete(child).unwrap();
        assert_eq!(table.delete(parent), Ok(1));
        assert!(
            table
                .push_child(3u8, &Resource::<u8>::new_borrow(rep))
                .is_err()
        );
    }

    #[test]
    fn a_full_table_refuses() {
        let mut table = ResourceTable::with_max(1);
        let a = table.push(()).unwrap();
        assert_eq!(table.push(()).unwrap_err(), ResourceTableError::Full);
        table.delete(a).unwrap();
        table.push(()).unwrap();
    }
}
