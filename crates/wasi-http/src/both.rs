//! What is the same in the faces of 0.2 and 0.3 but for names and the type of its errors:
//! `fields`.

use crate::WasiHttpView;
use crate::bind::func;
use crate::host::fields::{FieldError, Fields};
use helve::Result;
use helve::component::{LinkerInstance, Lower, Resource};
use helve_wasi::p2::bind::resource;

/// A version's `header-error`.
pub trait HeaderError: Lower + Send + Sized + 'static {
    /// Its case for an error; one that it has no case for traps.
    ///
    /// # Errors
    /// That trap.
    fn of(error: FieldError) -> Result<Self>;
}

/// What an operation on fields returns to the guest.
pub fn outcome<R, E: HeaderError>(result: Result<R, FieldError>) -> Result<Result<R, E>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(E::of(error)?)),
    }
}

type Own = Resource<Fields>;

/// Adds `fields`, whose function that lists all is called `list`.
pub fn fields<T: WasiHttpView, E: HeaderError>(
    types: &mut LinkerInstance<'_, T>,
    list: &str,
) -> Result<()> {
    resource::<T, Fields>(types, "fields")?;
    func(types, "[constructor]fields", |host, (): ()| {
        let fields = Fields::new(host.http.field_limits);
        Ok(host.table.push(fields)?)
    })?;
    func(
        types,
        "[static]fields.from-list",
        |host, (entries,): (Vec<(String, Vec<u8>)>,)| {
            let mut fields = Fields::new(host.http.field_limits);
            let filled = entries
                .into_iter()
                .try_for_each(|(name, value)| fields.append(&name, value));
            match outcome::<_, E>(filled)? {
                Ok(()) => Ok(Ok(host.table.push(fields)?)),
                Err(error) => Ok(Err(error)),
            }
        },
    )?;
    looks(types, list)?;
    changes::<T, E>(types)
}

fn looks<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>, list: &str) -> Result<()> {
    func(
        types,
        "[method]fields.get",
        |host, (fields, name): (Own, String)| Ok(host.table.get(&fields)?.get(&name)),
    )?;
    func(
        types,
        "[method]fields.has",
        |host, (fields, name): (Own, String)| Ok(host.table.get(&fields)?.has(&name)),
    )?;
    func(
        types,
        &format!("[method]fields.{list}"),
        |host, (fields,): (Own,)| Ok(host.table.get(&fields)?.entries()),
    )?;
    func(types, "[method]fields.clone", |host, (fields,): (Own,)| {
        let copy = host.table.get(&fields)?.thawed();
        Ok(host.table.push(copy)?)
    })
}

fn changes<T: WasiHttpView, E: HeaderError>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]fields.set",
        |host, (fields, name, values): (Own, String, Vec<Vec<u8>>)| {
            outcome::<_, E>(host.table.get_mut(&fields)?.set(&name, values))
        },
    )?;
    func(
        types,
        "[method]fields.delete",
        |host, (fields, name): (Own, String)| {
            let deleted = host.table.get_mut(&fields)?.delete(&name);
            outcome::<_, E>(deleted.map(drop))
        },
    )?;
    func(
        types,
        "[method]fields.append",
        |host, (fields, name, value): (Own, String, Vec<u8>)| {
            outcome::<_, E>(host.table.get_mut(&fields)?.append(&name, value))
        },
    )
}
