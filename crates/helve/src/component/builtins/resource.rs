//! `resource.new`, `resource.rep`, `resource.drop`, and destructors.
//!
//! A destructor is a call into the instance that defines the resource: it may be entered
//! then, as by any call, unless it is the one that drops. Not here: the table's rules
//! (`helve_model`).
//!
//! # Safety
//!
//! Runs in a host call, or for the host with its store at hand: nothing else borrows from
//! the store; what is borrowed here ends before a guest runs.

use crate::component::call::lane::Lane;
use crate::component::drive;
use crate::component::handles::ResourceKey;
use crate::component::history::History;
use crate::component::state::InstanceData;
use crate::component::store::{Destructor, StoreShared};
use crate::core::store::StorePtr;
use helve_abi::types::ResourceTypeId;
use helve_base::Result;
use helve_decode::plan::{ComponentInstanceId, ResourceOrigin};
use helve_model::resource::Dropped;

/// `resource.new`: representation to handle.
pub(super) fn new(
    instance: &InstanceData,
    owner: ComponentInstanceId,
    ty: ResourceTypeId,
    lanes: &mut [Lane],
) -> Result<()> {
    let part = instance.part(owner);
    part.check_leave()?;
    let _by = History::during(instance.shared().history.known(), "resource.new");
    let index = part.insert_own(instance.resource(ty)?, first(lanes))?;
    super::set(lanes, Lane::from_u32(index));
    Ok(())
}

/// `resource.rep`: handle to representation.
pub(super) fn rep(
    instance: &InstanceData,
    owner: ComponentInstanceId,
    ty: ResourceTypeId,
    lanes: &mut [Lane],
) -> Result<()> {
    let rep = instance
        .part(owner)
        .rep(instance.resource(ty)?, first(lanes))?;
    super::set(lanes, Lane::from_u32(rep));
    Ok(())
}

/// `resource.new` of a type whose representations are 64 bits wide: the table holds where
/// the store keeps it.
pub(super) fn new_wide(
    instance: &InstanceData,
    owner: ComponentInstanceId,
    ty: ResourceTypeId,
    lanes: &mut [Lane],
) -> Result<()> {
    let part = instance.part(owner);
    part.check_leave()?;
    part.make_room()?;
    let rep = lanes.first().map_or(0, |lane| lane.u64());
    let place = instance.shared().wide_reps.borrow_mut().insert(rep)?;
    let _by = History::during(instance.shared().history.known(), "resource.new");
    let index = part.insert_own(instance.resource(ty)?, place)?;
    super::set(lanes, Lane::from_u32(index));
    Ok(())
}

/// `resource.rep` of such a type.
pub(super) fn rep_wide(
    instance: &InstanceData,
    owner: ComponentInstanceId,
    ty: ResourceTypeId,
    lanes: &mut [Lane],
) -> Result<()> {
    let part = instance.part(owner);
    let place = part.rep(instance.resource(ty)?, first(lanes))?;
    let rep = instance.shared().wide_reps.borrow().get(place)?;
    super::set(lanes, Lane::from_u64(rep));
    Ok(())
}

/// A guest that drops a handle.
pub(crate) struct Dropper<'a> {
    pub instance: &'a InstanceData,
    pub part: ComponentInstanceId,
    /// Where its answer goes, and whether it waits for that: where it can.
    pub answer: Option<(*mut Lane, &'a mut bool)>,
}

/// `resource.drop`: the handle goes; if it owned the resource, that too.
pub(crate) fn drop_handle(by: Dropper<'_>, ty: ResourceTypeId, index: u32) -> Result<()> {
    let instance = by.instance;
    let part = instance.part(by.part);
    part.check_leave()?;
    let key = instance.resource(ty)?;
    let dropped = {
        let _by = History::during(instance.shared().history.known(), "resource.drop");
        part.drop_handle(key, index)?
    };
    match dropped {
        Dropped::Own { rep } => match instance.shared().host_dtor(key) {
            Some(dtor) => dtor(instance.store(), rep),
            None => destroy(instance.store(), instance.shared(), key, rep, Some(by)),
        },
        Dropped::Borrow => Ok(()),
    }
}

fn first(lanes: &[Lane]) -> u32 {
    lanes.first().map_or(0, |lane| lane.u32())
}

/// Ends a resource, for `caller` or for the host.
pub(crate) fn destroy(
    store: StorePtr,
    shared: &StoreShared,
    key: ResourceKey,
    rep: u32,
    caller: Option<Dropper<'_>>,
) -> Result<()> {
    match shared.destructor(key)? {
        Destructor::Host(dtor) => dtor(store, rep),
        Destructor::Gone => Ok(()),
        Destructor::Guest(definer, id) => {
            // SAFETY: of the same store, which is alive and has it.
            let definer = unsafe { definer.get() };
            let caller = caller.filter(|by| std::ptr::eq(by.instance, definer));
            destroy_guest(definer, id, rep, caller)
        }
    }
}

fn destroy_guest(
    definer: &InstanceData,
    id: ResourceTypeId,
    rep: u32,
    caller: Option<Dropper<'_>>,
) -> Result<()> {
    let def = definer.plan().resources.get(id).map(|def| &def.origin);
    let Some(ResourceOrigin::Defined { owner, dtor, rep64 }) = def else {
        return Ok(());
    };
    let rep = match rep64 {
        false => Lane::from_u32(rep),
        true => Lane::from_u64(definer.shared().wide_reps.borrow_mut().remove(rep)?),
    };
    if definer.tasks()
        && let Some(dtor) = dtor
    {
        let (func, may_suspend) = {
            // SAFETY: see the module; the borrow ends here.
            let store = unsafe { definer.store().get() };
            let may_suspend = definer.may_suspend(store, *owner);
            (definer.destructor(store, dtor)?, may_suspend)
        };
        let by_guest = caller.is_some();
        if let Some(Dropper {
            answer: Some(answer),
            ..
        }) = caller
            && may_suspend
        {
            return drive::destructor::call(definer, *owner, (func, rep), answer);
        }
        let context = definer.part(*owner).context.replace([0; 2]);
        let run = || func.call(definer.store(), &mut [rep]);
        drive::call::on_native_stack(definer, *owner, by_guest, run)?;
        definer.part(*owner).context.set(context);
        return Ok(());
    }
    let caller = caller.map(|by| by.part);
    definer.enter(*owner, caller)?;
    if let Some(dtor) = dtor {
        let func = {
            // SAFETY: see the module; the borrow ends here.
            let store = unsafe { definer.store().get() };
            definer.destructor(store, dtor)?
        };
        let part = definer.part(*owner);
        let context = part.context.replace([0; 2]);
        if let Err(error) = func.call(definer.store(), &mut [rep]) {
            definer.lock();
            return Err(error);
        }
        part.context.set(context);
    }
    definer.leave(*owner, caller);
    Ok(())
}
