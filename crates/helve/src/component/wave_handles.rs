//! Results of calls written as text that hold handles: what stands in their place, and
//! their end.
//!
//! ```text
//!   Val with a resource --shown--> the same, `<resource counter #7>` for it --> WAVE
//!                       \--------- drop: its destructor runs
//! ```
//!
//! WAVE has no form for resources, streams, futures and error contexts; what is written
//! here can be read by people only, and nobody can get at the handle afterwards: so it is
//! dropped. Not here: WAVE (`wave`).

use super::wave::to_wave;
use crate::component::instance::Instance;
use crate::component::resource::{ResourceAny, ResourceType};
use crate::component::value::Val;
use crate::core::context::AsContextMut;
use helve_abi::types::{InterfaceType, ResourceTypeId, Types};
use helve_base::Result;

/// The text of a result; what it owns is dropped then, whether there is a text or not.
pub(super) fn to_text(
    mut store: impl AsContextMut,
    instance: &Instance,
    ty: InterfaceType,
    val: Val,
) -> Result<String> {
    let mut owned = Vec::new();
    let shown = {
        let mut store = store.as_context_mut();
        let opaque = store.opaque();
        let mut names = Vec::new();
        if let Some(data) = instance.data(opaque) {
            let mut ids = Vec::new();
            resource_types(data.types(), ty, &mut ids);
            let types = data.types();
            names.extend(ids.into_iter().map(|id| {
                let name = types.display_resource(id).to_string();
                (data.resource_type(id), name)
            }));
        }
        let shared = opaque.components.shared();
        let mut text = |any: &ResourceAny| {
            owned.push(*any);
            let known: Option<&(ResourceType, String)> =
                names.iter().find(|(ty, _)| *ty == any.ty());
            let name = known.map_or("of another component", |(_, name)| name);
            match shared.host_handles.rep(any.handle()) {
                Ok(rep) => format!("<resource {name} #{rep}>"),
                Err(_) => format!("<resource {name}>"),
            }
        };
        to_wave(&shown(&val, &mut text))
    };
    // Streams and futures are closed, error contexts released.
    drop(val);
    for any in owned.into_iter().filter(ResourceAny::owned) {
        any.resource_drop(&mut store)?;
    }
    shown
}

/// Every resource type in a type.
fn resource_types(types: &Types, ty: InterfaceType, into: &mut Vec<ResourceTypeId>) {
    match ty {
        InterfaceType::Own(id) | InterfaceType::Borrow(id) if !into.contains(&id) => into.push(id),
        _ => types.each_part(ty, &mut |part| resource_types(types, part, into)),
    }
}

/// The value with words, as labels, for what WAVE can't say.
fn shown(val: &Val, text: &mut impl FnMut(&ResourceAny) -> String) -> Val {
    let mut boxed = |val: &Option<Box<Val>>| val.as_ref().map(|val| Box::new(shown(val, text)));
    match val {
        Val::Option(val) => Val::Option(boxed(val)),
        Val::Result(Ok(val)) => Val::Result(Ok(boxed(val))),
        Val::Result(Err(val)) => Val::Result(Err(boxed(val))),
        Val::Variant(case, val) => Val::Variant(case.clone(), boxed(val)),
        Val::List(vals) => Val::List(vals.iter().map(|val| shown(val, text)).collect()),
        Val::Tuple(vals) => Val::Tuple(vals.iter().map(|val| shown(val, text)).collect()),
        Val::Record(fields) => {
            let fields = fields.iter();
            Val::Record(
                fields
                    .map(|(name, val)| (name.clone(), shown(val, text)))
                    .collect(),
            )
        }
        Val::Map(pairs) => {
            let pairs = pairs.iter();
            Val::Map(
                pairs
                    .map(|(key, val)| (shown(key, text), shown(val, text)))
                    .collect(),
            )
        }
        Val::Resource(any) => Val::Enum(text(any)),
        Val::Stream(_) => Val::Enum("<stream>".into()),
        Val::Future(_) => Val::Enum("<future>".into()),
        Val::ErrorContext(_) => Val::Enum("<error-context>".into()),
        other => other.clone(),
    }
}
