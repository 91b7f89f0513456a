//! Representations of 64 bits: handle tables have room for 32, so they hold a place in here.
//!
//! One per store. A place is taken by `resource.new` and given back when the resource ends;
//! handles to it, in whatever table, all hold the same place. Not here: who asks
//! (`builtins::resource`).

use helve_base::{Bug, Error, Result, Trap};

/// The representations of all resources of a store that are 64 bits wide.
#[derive(Debug, Default)]
pub(crate) struct WideReps {
    places: Vec<Place>,
    /// The place to use next, if any was given back.
    free: Option<u32>,
}

#[derive(Debug)]
enum Place {
    Taken(u64),
    Free(Option<u32>),
}

impl WideReps {
    /// A place for `rep`. There are at most as many as there are owned handles.
    pub fn insert(&mut self, rep: u64) -> Result<u32> {
        let Some(place) = self.free else {
            let place = u32::try_from(self.places.len());
            let place = place.map_err(|_| Error::new(Trap::LimitExceeded))?;
            self.places.push(Place::Taken(rep));
            return Ok(place);
        };
        match self.places.get_mut(place as usize) {
            Some(free @ Place::Free(_)) => {
                if let Place::Free(next) = std::mem::replace(free, Place::Taken(rep)) {
                    self.free = next;
                }
                Ok(place)
            }
            _ => Err(no_such_place()),
        }
    }

    /// What is in a place.
    pub fn get(&self, place: u32) -> Result<u64> {
        match self.places.get(place as usize) {
            Some(Place::Taken(rep)) => Ok(*rep),
            _ => Err(no_such_place()),
        }
    }

    /// Gives a place back: what was in it.
    pub fn remove(&mut self, place: u32) -> Result<u64> {
        let rep = self.get(place)?;
        if let Some(taken) = self.places.get_mut(place as usize) {
            *taken = Place::Free(self.free.replace(place));
        }
        Ok(rep)
    }
}

#[cold]
fn no_such_place() -> Error {
    Error::new(Bug("a resource without its representation".into()))
}
