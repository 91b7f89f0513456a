//! Checking a Rust type against a component's type.
//!
//! Runs once per function looked up or linked, so it is written for good messages: each
//! says what the host has and what the component says, with the path to the part that
//! differs. Not here: subtyping of whole imports (`linker`).

use crate::component::resource::ResourceType;
use helve_abi::types::{InterfaceType, ResourceTypeId, Types};
use helve_base::{Error, Result, error::Context};

/// `T::typecheck` of a part.
pub type CheckFn = fn(InterfaceType, &TypeCheck<'_>) -> Result<()>;

/// What a type check can ask about the component.
pub struct TypeCheck<'a> {
    types: &'a Types,
    resource: &'a dyn Fn(ResourceTypeId) -> ResourceType,
}

impl<'a> TypeCheck<'a> {
    /// Types of one component, and which resource types its resources are.
    pub(crate) fn new(
        types: &'a Types,
        resource: &'a dyn Fn(ResourceTypeId) -> ResourceType,
    ) -> TypeCheck<'a> {
        TypeCheck { types, resource }
    }

    /// The component's types.
    pub fn types(&self) -> &'a Types {
        self.types
    }

    /// Which resource type `id` is here.
    pub fn resource(&self, id: ResourceTypeId) -> ResourceType {
        (self.resource)(id)
    }

    /// The error that says `expected` and `found`.
    pub fn mismatch(
        &self,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::msg(format!(
            "type mismatch: the host has `{expected}`, the component says `{found}`"
        ))
    }

    /// The error that says `expected`, and found is `ty`.
    pub fn mismatch_type(&self, expected: impl std::fmt::Display, ty: InterfaceType) -> Error {
        self.mismatch(expected, self.types.display(ty))
    }

    /// That `ty` is exactly `expected`, a type without parts.
    ///
    /// # Errors
    ///
    /// With what was expected and what the component has, where they differ.
    pub fn scalar(&self, ty: InterfaceType, expected: InterfaceType) -> Result<()> {
        if ty == expected {
            Ok(())
        } else {
            Err(self.mismatch_type(expected.kind(), ty))
        }
    }

    /// That `ty` is a record of these fields, by name and in order.
    ///
    /// # Errors
    ///
    /// With what was expected and what the component has, where they differ.
    pub fn record(&self, ty: InterfaceType, fields: &[(&str, CheckFn)]) -> Result<()> {
        let InterfaceType::Record(id) = ty else {
            return Err(self.mismatch_type("record", ty));
        };
        let found = &self.types[id].fields;
        self.count("record", "fields", fields.len(), found.len())?;
        for ((name, check), found) in fields.iter().zip(found) {
            self.name("field", name, &found.name)?;
            check(found.ty, self).with_context(|| format!("in field `{name}`"))?;
        }
        Ok(())
    }

    /// That `ty` is a tuple of these types.
    ///
    /// # Errors
    ///
    /// With what was expected and what the component has, where they differ.
    pub fn tuple(&self, ty: InterfaceType, parts: &[CheckFn]) -> Result<()> {
        let InterfaceType::Tuple(id) = ty else {
            return Err(self.mismatch_type(format_args!("tuple of {}", parts.len()), ty));
        };
        let found = &self.types[id].types;
        self.count("tuple", "types", parts.len(), found.len())?;
        for (i, (check, found)) in parts.iter().zip(found).enumerate() {
            check(*found, self).with_context(|| format!("in part {i} of a tuple"))?;
        }
        Ok(())
    }

    /// That `ty` is a variant of these cases, by name and in order.
    ///
    /// # Errors
    ///
    /// With what was expected and what the component has, where they differ.
    pub fn variant(&self, ty: InterfaceType, cases: &[(&str, Option<CheckFn>)]) -> Result<()> {
        let InterfaceType::Variant(id) = ty else {
            return Err(self.mismatch_type("variant", ty));
        };
        let found = &self.types[id].cases;
        self.count("variant", "cases", cases.len(), found.len())?;
        for ((name, check), found) in cases.iter().zip(found) {
            self.name("case", name, &found.name)?;
            match (check, found.ty) {
                (Some(check), Some(ty)) => {
                    check(ty, self).with_context(|| format!("in case `{name}`"))?
                }
                (None, None) => {}
                (Some(_), None) => {
                    return Err(self.mismatch(format_args!("case `{name}` with a payload"), "none"));
                }
                (None, Some(ty)) => {
                    return Err(
                        self.mismatch_type(format_args!("case `{name}` without a payload"), ty)
                    );
                }
            }
        }
        Ok(())
    }

    /// That `ty` is an enum of these cases in this order.
    ///
    /// # Errors
    ///
    /// With what was expected and what the component has, where they differ.
    pub fn enumeration(&self, ty: InterfaceType, names: &[&str]) -> Result<()> {
        let InterfaceType::Enum(id) = ty else {
            return Err(self.mismatch_type("enum", ty));
        };
        self.labels("enum", "cases", names, &self.types[id].names)
    }

    /// That `ty` is flags with these labels in this order.
    ///
    /// # Errors
    ///
    /// With what was expected and what the component has, where they differ.
    pub fn flags(&self, ty: InterfaceType, names: &[&str]) -> Result<()> {
        let InterfaceType::Flags(id) = ty else {
            return Err(self.mismatch_type("flags", ty));
        };
        self.labels("flags", "labels", names, &self.types[id].names)
    }

    fn labels(&self, kind: &str, parts: &str, names: &[&str], found: &[Box<str>]) -> Result<()> {
        self.count(kind, parts, names.len(), found.len())?;
        names
            .iter()
            .zip(found)
            .try_for_each(|(name, found)| self.name("label", name, found))
    }

    fn count(&self, kind: &str, parts: &str, expected: usize, found: usize) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(self.mismatch(
            format_args!("{kind} of {expected} {parts}"),
            format_args!("{kind} of {found} {parts}"),
        ))
    }

    fn name(&self, part: &str, expected: &str, found: &str) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(self.mismatch(
            format_args!("{part} {expected}"),
            format_args!("{part} {found}"),
        ))
    }
}

impl std::fmt::Debug for TypeCheck<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TypeCheck").finish_non_exhaustive()
    }
}
