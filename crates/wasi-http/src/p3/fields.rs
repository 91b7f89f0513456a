//! `fields` and `request-options` of `wasi:http/types` 0.3.

use crate::WasiHttpView;
use crate::bind::func;
use crate::both;
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

impl both::HeaderError for HeaderError {
    fn of(error: FieldError) -> Result<HeaderError> {
        Ok(match error {
            FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
            FieldError::Forbidden => HeaderError::Forbidden,
            FieldError::Immutable => HeaderError::Immutable,
            FieldError::SizeExceeded => HeaderError::SizeExceeded,
        })
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

pub fn add_to_linker<T: WasiHttpView>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    both::fields::<T, HeaderError>(types, "copy-all")?;
    func(
        types,
        "[method]fields.get-and-delete",
        |host, (fields, name): (Resource<Fields>, String)| {
            let deleted = host.table.get_mut(&fields)?.delete(&name);
            both::outcome::<_, HeaderError>(deleted)
        },
    )?;
    options(types)
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
