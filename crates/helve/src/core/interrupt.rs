//! How long guests may run: fuel, which instructions use up, and epochs, which other
//! threads count.
//!
//! ```text
//!  Config::consume_fuel        Store::set_fuel(n)            used up: trap
//!                              fuel_async_yield_interval(i)  every i units: others first
//!  Config::epoch_interruption  Engine::increment_epoch()     by a timer, say
//!                              Store::set_epoch_deadline(n)  reached: trap (default),
//!                                                            a callback, or others first
//! ```
//!
//! Fuel is exact: the same guest uses up the same in every run, tier and build mode. Epochs
//! are cheaper and follow the clock. "Others first" is for async calls: the call's future
//! is pending once and wakes itself; what does not run in one just goes on.
//!
//! Not here: where compiled code asks (helve-compile), how it is stopped (helve-vm).
//!
//! # Safety
//!
//! The hook runs in a guest's stead, when nothing of the store is borrowed.

use crate::core::context::{AsContext, AsContextMut, StoreContextMut};
use crate::core::engine::Engine;
use crate::core::store::{Store, StoreOpaque, StorePtr};
use crate::core::wrap::Caller;
use helve_base::vmctx::VMStoreContext;
use helve_base::{Result, ensure};
use helve_vm::interrupt::{Decision, Reason, can_yield};
use std::sync::atomic::Ordering;

/// What an epoch's callback decides: see [`Store::epoch_deadline_callback`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateDeadline {
    /// The guest goes on until this many more ticks have passed.
    Continue(u64),
    /// The same, but what else the executor has to do comes first.
    Yield(u64),
    /// The guest is interrupted.
    Interrupt,
}

/// The callback, reached through the host's data.
type Callback = Box<dyn FnMut(StorePtr) -> Result<UpdateDeadline> + Send + Sync>;

/// What a store's guests get when they have run for long.
#[derive(Default)]
pub(crate) struct Interrupts {
    /// Fuel that is given out later: what counts is this and `VMStoreContext.fuel`.
    reserve: u64,
    /// Units between two yields.
    yield_interval: Option<u64>,
    at_deadline: AtDeadline,
}

#[derive(Default)]
enum AtDeadline {
    #[default]
    Trap,
    Yield(u64),
    Ask(Callback),
}

/// Puts a store's guests under the rule of what its host says.
pub(crate) fn prepare(vm: &mut VMStoreContext, engine: &Engine) {
    vm.epoch = engine.epoch();
    vm.interrupts = helve_vm::interrupt::hook(interrupted);
    vm.epoch_deadline = engine.epoch().load(Ordering::Relaxed).saturating_add(1);
}

/// # Safety
///
/// `vm` is the context of a live store, whose guest waits for the answer.
unsafe fn interrupted(vm: *mut VMStoreContext, reason: Reason) -> Decision {
    // SAFETY: as the caller says.
    unsafe {
        match reason {
            Reason::Fuel => out_of_fuel(StorePtr::from_vm(vm).get()),
            Reason::Epoch => epoch_passed(StorePtr::from_vm(vm)),
        }
    }
}

fn out_of_fuel(store: &mut StoreOpaque) -> Decision {
    if store.interrupts.reserve == 0 {
        return Decision::Trap;
    }
    let left = store.fuel();
    store.give_fuel(left);
    match store.vm.fuel < 0 {
        // All of the reserve was less than what the guest owes.
        true => Decision::Trap,
        false => pause(store),
    }
}

/// # Safety
///
/// The store is live, its guest waits, and nothing of it is borrowed.
unsafe fn epoch_passed(ptr: StorePtr) -> Decision {
    // SAFETY: as the caller says; not used any more where the callback runs.
    let store = unsafe { ptr.get() };
    // The callback may set another one while it runs.
    let update = match std::mem::take(&mut store.interrupts.at_deadline) {
        AtDeadline::Trap => return Decision::Trap,
        AtDeadline::Yield(ticks) => {
            store.interrupts.at_deadline = AtDeadline::Yield(ticks);
            UpdateDeadline::Yield(ticks)
        }
        AtDeadline::Ask(mut callback) => {
            let answer = callback(ptr);
            // SAFETY: the callback is done.
            let store = unsafe { ptr.get() };
            if let AtDeadline::Trap = store.interrupts.at_deadline {
                store.interrupts.at_deadline = AtDeadline::Ask(callback);
            }
            match answer {
                Ok(update) => update,
                Err(error) => return Decision::Fail(error),
            }
        }
    };
    // SAFETY: as above.
    let store = unsafe { ptr.get() };
    match update {
        UpdateDeadline::Continue(ticks) => {
            store.set_deadline(ticks);
            Decision::Continue
        }
        UpdateDeadline::Yield(ticks) => {
            store.set_deadline(ticks);
            pause(store)
        }
        UpdateDeadline::Interrupt => Decision::Trap,
    }
}

/// Lets others run first, where the guest was called by something that can wait.
fn pause(store: &mut StoreOpaque) -> Decision {
    // SAFETY: the store's guest runs, here and now.
    if !unsafe { can_yield(&raw const store.vm) } {
        return Decision::Continue;
    }
    match store.hand_over.pause() {
        true => Decision::Yield,
        false => Decision::Continue,
    }
}

impl StoreOpaque {
    /// Fuel that is left.
    pub(crate) fn fuel(&self) -> u64 {
        let given = i128::from(self.vm.fuel) + i128::from(self.interrupts.reserve);
        u64::try_from(given).unwrap_or(0)
    }

    /// Divides `fuel` into what guests have now and what they get later.
    fn give_fuel(&mut self, fuel: u64) {
        let most = self.interrupts.yield_interval.unwrap_or(u64::MAX);
        let now = fuel.min(most).min(i64::MAX as u64);
        self.vm.fuel = now as i64;
        self.interrupts.reserve = fuel - now;
    }

    fn set_deadline(&mut self, ticks: u64) {
        let now = self.engine().epoch().load(Ordering::Relaxed);
        self.vm.epoch_deadline = now.saturating_add(ticks);
    }

    fn need_fuel(&self) -> Result<()> {
        ensure!(
            self.engine().config().consume_fuel,
            "fuel is not counted: turn it on with Config::consume_fuel"
        );
        Ok(())
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// Gives guests this much fuel, whatever they had. About one unit is used up by each
    /// instruction, and one by each 64 bytes of a bulk operation. A new store has none.
    ///
    /// # Errors
    ///
    /// Where fuel is not counted: see [`Config::consume_fuel`](crate::Config::consume_fuel).
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        let store = self.opaque();
        store.need_fuel()?;
        store.give_fuel(fuel);
        Ok(())
    }

    /// The fuel that is left.
    ///
    /// # Errors
    ///
    /// As [`set_fuel`](Self::set_fuel).
    pub fn get_fuel(&mut self) -> Result<u64> {
        let store = self.opaque();
        store.need_fuel()?;
        Ok(store.fuel())
    }

    /// Lets what else the executor has to do come first each time that a guest has used up
    /// this much fuel in an async call; `None`, the default, never.
    ///
    /// # Errors
    ///
    /// As [`set_fuel`](Self::set_fuel), or where the interval is 0.
    pub fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        let store = self.opaque();
        store.need_fuel()?;
        ensure!(interval != Some(0), "a yield interval of 0 units of fuel");
        store.interrupts.yield_interval = interval;
        let left = store.fuel();
        store.give_fuel(left);
        Ok(())
    }

    /// Lets guests run until the engine's epoch is this many ticks later than now. In a new
    /// store that is one tick. Only code of an engine with
    /// [`Config::epoch_interruption`](crate::Config::epoch_interruption) looks at it.
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.opaque().set_deadline(ticks_beyond_current);
    }

    /// At the deadline guests trap. This is the default.
    pub fn epoch_deadline_trap(&mut self) {
        self.opaque().interrupts.at_deadline = AtDeadline::Trap;
    }

    /// At the deadline `callback` decides; an error ends the guest with that error.
    pub fn epoch_deadline_callback(
        &mut self,
        mut callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline>
        + Send
        + Sync
        + 'static,
    ) {
        let callback = move |store: StorePtr| {
            // SAFETY: this store's guest waits, and nobody borrows from the store.
            callback(unsafe { store.context() })
        };
        self.opaque().interrupts.at_deadline = AtDeadline::Ask(Box::new(callback));
    }

    /// At the deadline, what else the executor has to do comes first (in an async call);
    /// the next deadline is `delta` ticks later.
    pub fn epoch_deadline_async_yield_and_update(&mut self, delta: u64) {
        self.opaque().interrupts.at_deadline = AtDeadline::Yield(delta);
    }
}

impl<T: 'static> Caller<'_, T> {
    /// As [`StoreContextMut::set_fuel`].
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.as_context_mut().set_fuel(fuel)
    }

    /// As [`StoreContextMut::get_fuel`].
    pub fn get_fuel(&mut self) -> Result<u64> {
        self.as_context_mut().get_fuel()
    }

    /// As [`StoreContextMut::fuel_async_yield_interval`].
    pub fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        self.as_context_mut().fuel_async_yield_interval(interval)
    }
}

impl<T: 'static> Store<T> {
    /// As [`StoreContextMut::set_fuel`].
    ///
    /// ```
    /// # use helve::core::{Linker, Module};
    /// # use helve::{Config, Engine, Result, Store, Trap};
    /// # fn main() -> Result<()> {
    /// let engine = Engine::new(Config::new().consume_fuel(true))?;
    /// let module = Module::new(&engine, r#"(module
    ///     (func (export "spin") (loop (br 0))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_fuel(10_000)?;
    /// let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
    /// let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
    /// let error = spin.call(&mut store, ()).unwrap_err();
    /// assert_eq!(error.trap(), Some(Trap::OutOfFuel));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.as_context_mut().set_fuel(fuel)
    }

    /// As [`StoreContextMut::get_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        let store = self.as_context();
        let store = store.opaque();
        store.need_fuel()?;
        Ok(store.fuel())
    }

    /// As [`StoreContextMut::fuel_async_yield_interval`].
    pub fn fuel_async_yield_interval(&mut self, interval: Option<u64>) -> Result<()> {
        self.as_context_mut().fuel_async_yield_interval(interval)
    }

    /// As [`StoreContextMut::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.as_context_mut()
            .set_epoch_deadline(ticks_beyond_current);
    }

    /// As [`StoreContextMut::epoch_deadline_trap`].
    pub fn epoch_deadline_trap(&mut self) {
        self.as_context_mut().epoch_deadline_trap();
    }

    /// As [`StoreContextMut::epoch_deadline_callback`].
    pub fn epoch_deadline_callback(
        &mut self,
        callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        self.as_context_mut().epoch_deadline_callback(callback);
    }

    /// As [`StoreContextMut::epoch_deadline_async_yield_and_update`].
    pub fn epoch_deadline_async_yield_and_update(&mut self, delta: u64) {
        self.as_context_mut()
            .epoch_deadline_async_yield_and_update(delta);
    }
}
