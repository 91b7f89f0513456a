//! `wasi:http/types.fields`, and `http-error-code`.

use super::types::header_result;
use crate::WasiHttpView;
use crate::bind::func;
use crate::host::error::ErrorCode;
use crate::host::fields::{FieldError, Fields};
use helve::Result;
use helve::component::{LinkerInstance, Resource};
use helve_wasi::p2::bind::resource;
use helve_wasi::p2::io::IoError;

type Own = Resource<Fields>;

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    resource::<T, Fields>(types, "fields")?;
    func(
        types,
        "http-error-code",
        |host, (error,): (Resource<IoError>,)| {
            let error = &host.table.get(&error)?.0;
            let inner = error.get_ref().and_then(|e| e.downcast_ref::<ErrorCode>());
            Ok(inner.cloned())
        },
    )?;
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
            match header_result(filled)? {
                Ok(()) => Ok(Ok(host.table.push(fields)?)),
                Err(e) => Ok(Err(e)),
            }
        },
    )?;
    looks(types)?;
    changes(types)
}

fn looks<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
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
        "[method]fields.entries",
        |host, (fields,): (Own,)| Ok(host.table.get(&fields)?.entries()),
    )?;
    func(types, "[method]fields.clone", |host, (fields,): (Own,)| {
        let copy = host.table.get(&fields)?.thawed();
        Ok(host.table.push(copy)?)
    })
}

fn changes<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    func(
        types,
        "[method]fields.set",
        |host, (fields, name, values): (Own, String, Vec<Vec<u8>>)| {
            header_result(host.table.get_mut(&fields)?.set(&name, values))
        },
    )?;
    func(
        types,
        "[method]fields.delete",
        |host, (fields, name): (Own, String)| {
            let deleted = host.table.get_mut(&fields)?.delete(&name);
            header_result(deleted.map(|_| ()))
        },
    )?;
    func(
        types,
        "[method]fields.append",
        |host, (fields, name, value): (Own, String, Vec<u8>)| {
            let result: Result<(), FieldError> = host.table.get_mut(&fields)?.append(&name, value);
            header_result(result)
        },
    )
}
