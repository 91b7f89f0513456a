//! Names that the validator in use takes for the same, or for wrong, and the spec does not.
//!
//! The spec compares names without regard to case. The validator leaves out hyphens too
//! (a later version of the spec), so `a1` and `a-1` conflict there; and it knows fewer
//! canonical versions. Where validation fails for such a reason, a copy of the component is
//! validated in which every label is spelled so that hyphens count:
//!
//! ```text
//!  label            fez-1       FOO-Bz ... each `z` doubled, each word after the first
//!  in the copy      fezz-z01    FOO-Z0..   behind a `z0`; capitals among capitals
//!  version          1           0.0.0-canonical.1    (after the spec's own check)
//! ```
//!
//! The spelling is one-to-one and the same everywhere in the file, so all that depends on
//! names being equal holds in the copy if it holds in the original. Nothing but
//! validation ever sees the copy.

use crate::error::{DecodeError, refused};
use crate::{Options, cancellable};
use helve_abi::names;
use helve_base::{Error, Result};
use wasm_encoder::reencode::{self, ReencodeComponent, component_utils as utils};
use wasm_encoder::{
    Alias, Component, ComponentDefinedTypeEncoder, ComponentExportSection,
    ComponentFuncTypeEncoder, ComponentImportSection, ComponentInstanceSection,
};
use wasmparser as wp;
use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentExternName, ComponentInstance,
    ComponentTypeDeclaration, InstanceTypeDeclaration, Parser, Payload,
};

/// Whether validation failed for a reason that the spec does not share.
pub(crate) fn is_stricter_than_spec(error: &Error, options: &Options) -> bool {
    let Some(DecodeError::Invalid { message, .. }) = error.downcast_ref() else {
        return false;
    };
    if message.contains("conflicts with previous") {
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        return match quoted.as_slice() {
            [a, .., b] => !names::strongly_equal(a, b),
            _ => false,
        };
    }
    let versions = ["interface version", "version suffix", "version-suffix"];
    options.features.canonical_names && versions.iter().any(|what| message.contains(what))
}

/// The copy. Fails where a version is wrong by the spec's rule too.
pub(crate) fn respell(bytes: &[u8], options: &Options) -> Result<Vec<u8>> {
    let features = options.features.to_wasmparser();
    let bytes = &without_cancellable(bytes, features)?;
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut component = Component::new();
    let mut respelling = Respelling {
        canonical_versions: options.features.canonical_names,
    };
    match respelling.parse_component(&mut component, parser, bytes) {
        Ok(()) => Ok(component.finish()),
        Err(reencode::Error::ParseError(error)) => Err(crate::error::invalid(&error)),
        Err(reencode::Error::UserError(message)) => Err(refused(message, 0)),
        Err(other) => Err(refused(other.to_string(), 0)),
    }
}

/// What validating the copy said, in the original's spelling.
pub(crate) fn original(error: Error) -> Error {
    let Some(DecodeError::Invalid {
        message,
        offset,
        remedy,
    }) = error.downcast_ref()
    else {
        return error;
    };
    let parts = message.split('`').enumerate();
    let parts: Vec<String> = parts
        .map(|(i, part)| match i % 2 {
            0 => part.to_string(),
            _ => as_written(part),
        })
        .collect();
    Error::new(DecodeError::Invalid {
        message: parts.join("`"),
        offset: *offset,
        remedy: remedy.clone(),
    })
}

/// The bytes with zeros for the `cancellable` immediates, which the parser does not know.
fn without_cancellable(bytes: &[u8], features: wp::WasmFeatures) -> Result<Vec<u8>> {
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut copy = bytes.to_vec();
    for payload in parser.parse_all(bytes) {
        let Payload::ComponentCanonicalSection(section) =
            payload.map_err(|e| crate::error::invalid(&e))?
        else {
            continue;
        };
        let range = section.range();
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end))
        else {
            continue;
        };
        if let Some(section) = copy.get_mut(start..end)
            && let Ok(Some(unmarked)) = cancellable::unmark(section, features)
        {
            section.copy_from_slice(&unmarked.bytes);
        }
    }
    Ok(copy)
}

/// A label in the copy's spelling.
fn label(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len() + 8);
    for (i, word) in text.split('-').enumerate() {
        if i > 0 {
            let upper = word.bytes().any(|b| b.is_ascii_uppercase());
            spelled.push_str(if upper { "-Z0" } else { "-z0" });
        }
        for c in word.chars() {
            spelled.push(c);
            if matches!(c, 'z' | 'Z') {
                spelled.push(c);
            }
        }
    }
    spelled
}

/// A label or name of the copy as the original has it.
fn as_written(text: &str) -> String {
    let text = text.replace("@0.0.0-canonical.", "@");
    let mut written = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let (from, to) = match rest.get(..3) {
            Some("-z0" | "-Z0") => (3, '-'),
            _ if rest.starts_with("zz") || rest.starts_with("ZZ") => (2, c),
            _ => (c.len_utf8(), c),
        };
        written.push(to);
        rest = &rest[from..];
    }
    written
}

/// The walk that writes the copy.
struct Respelling {
    canonical_versions: bool,
}

impl Respelling {
    /// An import or export name; `suffix` is its version's.
    fn name(&self, name: &str, suffix: Option<&str>) -> Result<String, reencode::Error<String>> {
        let (name, version) = match name.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (name, None),
        };
        let mut spelled = String::new();
        let rest = match name.rfind(']') {
            Some(at) => {
                spelled.push_str(&name[..=at]);
                &name[at + 1..]
            }
            None => name,
        };
        for part in rest.split_inclusive([':', '/', '.']) {
            match part.strip_suffix([':', '/', '.']) {
                Some(text) => {
                    spelled.push_str(&label(text));
                    spelled.push_str(&part[text.len()..]);
                }
                None => spelled.push_str(&label(part)),
            }
        }
        match version {
            Some(version) if self.canonical_versions => {
                names::check_version(version, suffix).map_err(|what| {
                    reencode::Error::UserError(format!("name `{name}@{version}`: {what}"))
                })?;
                match names::is_semver(version) {
                    true => spelled.push_str(&format!("@{version}")),
                    false => spelled.push_str(&format!("@0.0.0-canonical.{version}")),
                }
            }
            Some(version) => spelled.push_str(&format!("@{version}")),
            None => {}
        }
        Ok(spelled)
    }

    fn extern_name(
        &self,
        name: &ComponentExternName<'_>,
    ) -> Result<wasm_encoder::ComponentExternName<'static>, reencode::Error<String>> {
        let implements = name.implements.map(|i| self.name(i, name.version_suffix));
        let suffix = match implements {
            Some(_) => None,
            None => name.version_suffix,
        };
        if suffix.is_some() && !name.name.contains('@') {
            let message = format!("name `{}`: a suffix of no version", name.name);
            return Err(reencode::Error::UserError(message));
        }
        Ok(wasm_encoder::ComponentExternName {
            name: self.name(name.name, suffix)?.into(),
            implements: implements.transpose()?.map(Into::into),
            version_suffix: match self.canonical_versions {
                true => None,
                false => name.version_suffix.map(|s| s.to_string().into()),
            },
            external_id: name.external_id.map(|id| id.to_string().into()),
        })
    }
}

type Done<T = ()> = Result<T, reencode::Error<String>>;

impl reencode::Reencode for Respelling {
    type Error = String;
}

impl ReencodeComponent for Respelling {
    fn parse_component_import_section(
        &mut self,
        imports: &mut ComponentImportSection,
        section: wp::ComponentImportSectionReader<'_>,
    ) -> Done {
        for import in section {
            let import = import?;
            let ty = self.component_type_ref(import.ty)?;
            imports.import(self.extern_name(&import.name)?, ty);
        }
        Ok(())
    }

    fn parse_component_export(
        &mut self,
        exports: &mut ComponentExportSection,
        export: wp::ComponentExport<'_>,
    ) -> Done {
        let ty = export
            .ty
            .map(|ty| self.component_type_ref(ty))
            .transpose()?;
        let name = self.extern_name(&export.name)?;
        exports.export(name, export.kind.into(), export.index, ty);
        Ok(())
    }

    fn parse_component_alias_section(
        &mut self,
        aliases: &mut wasm_encoder::ComponentAliasSection,
        section: wp::ComponentAliasSectionReader<'_>,
    ) -> Done {
        for alias in section {
            match alias? {
                ComponentAlias::InstanceExport {
                    kind,
                    instance_index,
                    name,
                } => {
                    let name = &self.name(name, None)?;
                    aliases.alias(instance_export(kind, instance_index, name));
                }
                other => {
                    aliases.alias(self.component_alias(other)?);
                }
            }
        }
        Ok(())
    }

    fn parse_component_instance(
        &mut self,
        instances: &mut ComponentInstanceSection,
        instance: ComponentInstance<'_>,
    ) -> Done {
        match instance {
            ComponentInstance::Instantiate {
                component_index,
                args,
            } => {
                let args: Vec<_> = args
                    .iter()
                    .map(|arg| Ok((self.name(arg.name, None)?, arg.kind.into(), arg.index)))
                    .collect::<Done<_>>()?;
                instances.instantiate(component_index, args);
            }
            ComponentInstance::FromExports(exports) => {
                let exports: Vec<_> = exports
                    .iter()
                    .map(|e| Ok((self.extern_name(&e.name)?, e.kind.into(), e.index)))
                    .collect::<Done<_>>()?;
                instances.export_items(exports);
            }
        }
        Ok(())
    }

    fn parse_component_instance_type_declaration(
        &mut self,
        instance: &mut wasm_encoder::InstanceType,
        decl: InstanceTypeDeclaration<'_>,
    ) -> Done {
        match decl {
            InstanceTypeDeclaration::Alias(ComponentAlias::InstanceExport {
                kind,
                instance_index,
                name,
            }) => {
                let name = &self.name(name, None)?;
                instance.alias(instance_export(kind, instance_index, name));
                Ok(())
            }
            InstanceTypeDeclaration::Export { name, ty } => {
                let ty = self.component_type_ref(ty)?;
                instance.export(self.extern_name(&name)?, ty);
                Ok(())
            }
            other => utils::parse_component_instance_type_declaration(self, instance, other),
        }
    }

    fn parse_component_type_declaration(
        &mut self,
        component: &mut wasm_encoder::ComponentType,
        decl: ComponentTypeDeclaration<'_>,
    ) -> Done {
        match decl {
            ComponentTypeDeclaration::Alias(ComponentAlias::InstanceExport {
                kind,
                instance_index,
                name,
            }) => {
                let name = &self.name(name, None)?;
                component.alias(instance_export(kind, instance_index, name));
            }
            ComponentTypeDeclaration::Export { name, ty } => {
                let ty = self.component_type_ref(ty)?;
                component.export(self.extern_name(&name)?, ty);
            }
            ComponentTypeDeclaration::Import(import) => {
                let ty = self.component_type_ref(import.ty)?;
                component.import(self.extern_name(&import.name)?, ty);
            }
            other => return utils::parse_component_type_declaration(self, component, other),
        }
        Ok(())
    }

    fn parse_component_func_type(
        &mut self,
        func: ComponentFuncTypeEncoder<'_>,
        ty: wp::ComponentFuncType<'_>,
    ) -> Done {
        let names: Vec<String> = ty.params.iter().map(|(name, _)| label(name)).collect();
        let params = names.iter().zip(&ty.params);
        let ty = wp::ComponentFuncType {
            params: params.map(|(name, (_, ty))| (name.as_str(), *ty)).collect(),
            ..ty
        };
        utils::parse_component_func_type(self, func, ty)
    }

    fn parse_component_defined_type(
        &mut self,
        defined: ComponentDefinedTypeEncoder<'_>,
        ty: ComponentDefinedType<'_>,
    ) -> Done {
        use ComponentDefinedType as D;
        let labels: Vec<String> = match &ty {
            D::Record(fields) => fields.iter().map(|(name, _)| label(name)).collect(),
            D::Variant(cases) => cases.iter().map(|case| label(case.name)).collect(),
            D::Flags(names) | D::Enum(names) => names.iter().map(|name| label(name)).collect(),
            _ => Vec::new(),
        };
        let names = labels.iter().map(String::as_str);
        let ty = match ty {
            D::Record(fields) => D::Record(
                names
                    .zip(&fields)
                    .map(|(name, (_, ty))| (name, *ty))
                    .collect(),
            ),
            D::Variant(cases) => D::Variant(
                names
                    .zip(&cases)
                    .map(|(name, case)| wp::VariantCase { name, ty: case.ty })
                    .collect(),
            ),
            D::Flags(_) => D::Flags(names.collect()),
            D::Enum(_) => D::Enum(names.collect()),
            other => other,
        };
        utils::parse_component_defined_type(self, defined, ty)
    }
}

fn instance_export(kind: wp::ComponentExternalKind, instance: u32, name: &str) -> Alias<'_> {
    Alias::InstanceExport {
        instance,
        kind: kind.into(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_one_to_one() {
        let labels = [
            "a",
            "a-1",
            "a1",
            "A",
            "A-1",
            "z",
            "zz",
            "z-z",
            "z0",
            "z-0",
            "a-z0",
            "foo-BAR-z",
            "Z-0",
        ];
        for a in labels {
            assert_eq!(as_written(&label(a)), a);
            assert!(names::is_label(&label(a)), "{a}");
            for b in labels {
                let dehyphenated = |text: &str| label(text).replace('-', "").to_lowercase();
                let same = dehyphenated(a) == dehyphenated(b);
                assert_eq!(same, a.eq_ignore_ascii_case(b), "{a} {b}");
            }
        }
    }
}
