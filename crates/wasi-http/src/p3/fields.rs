//! `fields` and `request-options` of `wasi:http/types` 0.3.

use crate::WasiHttpView;
use crate::bind::func;
use crate::host::fields::{FieldError, Fields};
use crate::host::message::RequestOptions;
use helve::Result;
use helve::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};
use helve_wasi::p2::bind::resource;

/// `header-error`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum HeaderError {
    InvalidSyntax,
    Forbidden,
    Immutable,
    SizeExceeded,
    Other(Option<String>),
}

impl From<FieldError> for HeaderError {
    fn from(error: FieldError) -> HeaderError {
        match error {
            FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
            FieldError::Forbidden => HeaderError::Forbidden,
            FieldError::Immutable => HeaderError::Immutable,
            FieldError::SizeExceeded => HeaderError::SizeExceeded,
        }
    }
}

/// `request-options-error`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum OptionsError {
    NotSupported,
    Immutable,
    Other(Option<String>),
}

/// `request-options`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub times: RequestOptions,
    pub immutable: bool,
}

type Own = Resource<Fields>;

/// What an operation on fields returns to the guest.
fn outcome<R>(result: Result<R, FieldError>) -> Result<Result<R, HeaderError>> {
    Ok(result.map_err(HeaderError::from))
}

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
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
            match filled {
                Ok(()) => Ok(Ok(host.table.push(fields)?)),
                Err(e) => Ok(Err(HeaderError::from(e))),
            }
        },
    )?;
    looks(types)?;
    changes(types)?;
    options(types)
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
        "[method]fields.copy-all",
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
            outcome(host.table.get_mut(&fields)?.set(&name, values))
        },
    )?;
    func(
        types,
        "[method]fields.delete",
        |host, (fields, name): (Own, String)| {
            let deleted = host.table.get_mut(&fields)?.delete(&name);
            outcome(deleted.map(|_| ()))
        },
    )?;
    func(
        types,
        "[method]fields.get-and-delete",
        |host, (fields, name): (Own, String)| outcome(host.table.get_mut(&fields)?.delete(&name)),
    )?;
    func(
        types,
        "[method]fields.append",
        |host, (fields, name, value): (Own, String, Vec<u8>)| {
            outcome(host.table.get_mut(&fields)?.append(&name, value))
        },
    )
}

fn options<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    type Field = fn(&mut RequestOptions) -> &mut Option<u64>;
    resource::<T, Options>(types, "request-options")?;
    func(types, "[constructor]request-options", |host, (): ()| {
        Ok(host.table.push(Options::default())?)
    })?;
    func(
        types,
        "[method]request-options.clone",
        |host, (options,): (Resource<Options>,)| {
            let mut copy = *host.table.get(&options)?;
            copy.immutable = false;
            Ok(host.table.push(copy)?)
        },
    )?;
    let fields: [(&str, Field); 3] = [
        ("connect-timeout", |o| &mut o.connect_timeout),
        ("first-byte-timeout", |o| &mut o.first_byte_timeout),
        ("between-bytes-timeout", |o| &mut o.between_bytes_timeout),
    ];
    for (name, field) in fields {
        func(
            types,
            &format!("[method]request-options.get-{name}"),
            move |host, (options,): (Resource<Options>,)| {
                Ok(*field(&mut host.table.get_mut(&options)?.times))
            },
        )?;
        func(
            types,
            &format!("[method]request-options.set-{name}"),
            move |host, (options, value): (Resource<Options>, Option<u64>)| {
                let options = host.table.get_mut(&options)?;
                if options.immutable {
                    return Ok(Err(OptionsError::Immutable));
                }
                *field(&mut options.times) = value;
                Ok(Ok(()))
            },
        )?;
    }
    Ok(())
}
