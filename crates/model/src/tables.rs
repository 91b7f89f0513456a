//! Where a store finds the handle tables of its instances: in a `Vec`, or wherever its user
//! keeps them.
//!
//! Not here: the tables (`handles`), who uses them (`store`).

use crate::handles::{Storage, Table, VecStorage};
use crate::instance::InstanceId;
use alloc::vec::Vec;

/// Where the handle tables of a store's instances are.
pub trait Tables {
    /// What they are in.
    type Slots: Storage;
    /// Does something with the table of an instance.
    fn with<R>(
        &mut self,
        instance: InstanceId,
        work: impl FnOnce(&mut Table<Self::Slots>) -> R,
    ) -> Option<R>;
    /// Makes place for a new instance's table, which is empty.
    fn add(&mut self, instance: InstanceId);
}

/// Tables in a `Vec`.
#[derive(Clone, Debug, Default)]
pub struct VecTables(Vec<Table<VecStorage>>);

impl Tables for VecTables {
    type Slots = VecStorage;

    fn with<R>(
        &mut self,
        instance: InstanceId,
        work: impl FnOnce(&mut Table<VecStorage>) -> R,
    ) -> Option<R> {
        self.0.get_mut(instance.get() as usize).map(work)
    }

    fn add(&mut self, _: InstanceId) {
        self.0.push(Table::new());
    }
}
