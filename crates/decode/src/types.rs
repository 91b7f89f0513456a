//! Component-level types: from the file's indices to interned types, and from instance
//! types to instances.
//!
//! An instance or component type is kept as its declarations and the scope around them
//! until something has that type. Then its declarations are run, once per thing: the
//! exports of a given instance are seen through them (which hides what the type does
//! not mention), those of an import of the root come out new, resource types included.
//!
//! Recursion goes as deep as types nest, which validation bounds (100 levels).

use crate::core_types;
use crate::error::{DecodeError, bug, limit, mismatch};
use crate::named_list::NamedList;
use crate::plan::*;
use crate::resolve::{Resolver, Template};
use crate::scope::{Scope, ScopeId};
use helve_abi::types::{InterfaceType, ResourceTypeId, TypeError};
use helve_base::{Error, Result};
use std::sync::Arc;
use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentType, ComponentTypeDeclaration,
    ComponentTypeRef, ComponentValType, CoreType, InstanceTypeDeclaration, PrimitiveValType,
    TypeBounds, ValType, VariantCase,
};

impl<'a> Resolver<'a> {
    /// What a type definition stands for. Only components (which have an owner) define
    /// resource types.
    pub fn define_type(
        &mut self,
        scope: ScopeId,
        owner: Option<ComponentInstanceId>,
        ty: &'a ComponentType<'a>,
    ) -> Result<TypeItem> {
        Ok(match ty {
            ComponentType::Defined(ty) => TypeItem::Value(self.value_type(scope, ty)?),
            ComponentType::Func(ty) => {
                self.charge(ty.params.len())?;
                let mut params = Vec::with_capacity(ty.params.len());
                for (name, ty) in &ty.params {
                    params.push((*name, self.val_type(scope, ty)?));
                }
                let result = self.optional(scope, &ty.result)?;
                let func = self.plan.types.func(params, result, ty.async_);
                TypeItem::Func(func.map_err(|e| self.refused(e))?)
            }
            ComponentType::Component(decls) => {
                let template = Template::Component(decls, scope);
                TypeItem::Component(self.templates.push(template))
            }
            ComponentType::Instance(decls) => {
                let template = Template::Instance(decls, scope);
                TypeItem::Instance(self.templates.push(template))
            }
            ComponentType::Resource { rep, dtor } => {
                let owner = owner.ok_or_else(|| bug("a resource type defined in a type"))?;
                let dtor = match dtor {
                    Some(index) => {
                        let item = self.scopes[scope].core_item(CoreKind::Func, *index)?;
                        Some(item.def().clone())
                    }
                    None => None,
                };
                TypeItem::Resource(self.new_resource(ResourceOrigin::Defined {
                    owner,
                    rep64: *rep == ValType::I64,
                    dtor,
                }))
            }
        })
    }

    fn new_resource(&mut self, origin: ResourceOrigin) -> ResourceTypeId {
        self.plan.resources.push(ResourceDef { origin, name: None })
    }

    /// A type that the root imports.
    pub fn imported_type(
        &mut self,
        scope: ScopeId,
        bounds: &TypeBounds,
        path: &ImportPath,
    ) -> Result<Item> {
        Ok(Item::Type(match bounds {
            TypeBounds::Eq(index) => self.scopes[scope].type_item(*index)?,
            TypeBounds::SubResource => {
                let id = self.new_resource(ResourceOrigin::Imported { path: path.clone() });
                if let Some(name) = path.0.last() {
                    self.name_resource(id, name);
                }
                TypeItem::Resource(id)
            }
        }))
    }

    /// The instance that has the type `ty`: `given` as that type shows it, or one of
    /// things that the linker will supply.
    pub fn expand(
        &mut self,
        ty: TypeItem,
        given: Option<Arc<InstanceItem>>,
        path: &ImportPath,
    ) -> Result<InstanceItem> {
        let TypeItem::Instance(id) = ty else {
            return Err(bug(format!("the type of `{path}` is not an instance type")));
        };
        let most = self.options.limits.component_nesting;
        if path.0.len() > most {
            let message = format!("instances nested more than {most} levels deep");
            return Err(limit(message, self.offset));
        }
        let Template::Instance(decls, outer) = self.templates[id] else {
            return Err(bug(format!("the type of `{path}` is a component type")));
        };
        let scope = self.scopes.push(Scope::new(Some(outer)));
        let mut instance = InstanceItem::default();
        for decl in decls {
            let decl = Decl::of_instance_type(decl);
            self.declare(scope, decl, given.as_deref(), path, &mut instance)?;
        }
        Ok(instance)
    }

    /// An instance of a component of type `id`, as that type shows it: the `given` one or
    /// one of which only the type is known; instantiated with `args` or with whatever is of
    /// the types that it imports. With what it was instantiated with.
    pub fn show(
        &mut self,
        id: TypeTemplateId,
        args: Option<&NamedList<Item>>,
        given: Option<Arc<InstanceItem>>,
        path: &ImportPath,
    ) -> Result<(NamedList<Item>, InstanceItem)> {
        let Template::Component(decls, outer) = self.templates[id] else {
            return Err(bug("a component seen as an instance type"));
        };
        let scope = self.scopes.push(Scope::new(Some(outer)));
        let mut imports = NamedList::new();
        let mut instance = InstanceItem::default();
        for decl in decls {
            if let ComponentTypeDeclaration::Import(import) = decl {
                self.charge(1)?;
                let name: Arc<str> = import.name.name.into();
                let missing = || mismatch(format!("nothing is given for the import `{name}`"));
                let arg = args.map(|args| args.get(&name).ok_or_else(missing));
                let item =
                    self.item_of_type(scope, &import.ty, arg.transpose()?, &path.join(&name))?;
                self.scopes[scope].push(item.clone());
                imports.insert(name, item);
            } else if let Some(decl) = Decl::of_component_type(decl) {
                self.declare(scope, decl, given.as_deref(), path, &mut instance)?;
            }
        }
        Ok((imports, instance))
    }

    /// Runs a declaration of an instance type or component type.
    fn declare(
        &mut self,
        scope: ScopeId,
        decl: Decl<'a>,
        given: Option<&InstanceItem>,
        path: &ImportPath,
        instance: &mut InstanceItem,
    ) -> Result<()> {
        self.charge(1)?;
        match decl {
            Decl::CoreType(ty) => core_types::define(&mut self.scopes, scope, ty, self.offset)?,
            Decl::Type(ty) => {
                let item = self.define_type(scope, None, ty)?;
                self.scopes[scope].types.push(item);
            }
            Decl::Alias(alias) => self.alias(scope, alias)?,
            Decl::Export(name, ty) => {
                let name: Arc<str> = name.into();
                let missing = || mismatch(format!("`{path}` has no export `{name}`"));
                let given = given.map(|given| given.exports.get(&name).ok_or_else(missing));
                let given = given.transpose()?;
                let path = path.join(&name);
                let item = self.item_of_type(scope, ty, given, &path)?;
                self.scopes[scope].push(item.clone());
                instance.exports.insert(name, item);
            }
        }
        Ok(())
    }

    fn refused(&self, error: TypeError) -> Error {
        Error::new(DecodeError::Invalid {
            message: error.to_string(),
            offset: self.offset,
            remedy: "change the type in the component's source".to_string(),
        })
    }

    /// A value type that is written out or named.
    pub fn val_type(&self, scope: ScopeId, ty: &ComponentValType) -> Result<InterfaceType> {
        match ty {
            ComponentValType::Primitive(ty) => Ok(primitive(*ty)),
            ComponentValType::Type(index) => self.scopes[scope].value_type(*index),
        }
    }

    /// The same where there may be none.
    pub fn optional(
        &self,
        scope: ScopeId,
        ty: &Option<ComponentValType>,
    ) -> Result<Option<InterfaceType>> {
        ty.as_ref().map(|ty| self.val_type(scope, ty)).transpose()
    }

    fn value_type(
        &mut self,
        scope: ScopeId,
        ty: &ComponentDefinedType<'a>,
    ) -> Result<InterfaceType> {
        use ComponentDefinedType as D;
        let val = |ty: &ComponentValType| self.val_type(scope, ty);
        let optional = |ty: &Option<ComponentValType>| self.optional(scope, ty);
        let made = match ty {
            D::Primitive(ty) => Ok(primitive(*ty)),
            D::Record(fields) => {
                let named = |(name, ty): &(_, _)| Ok((*name, val(ty)?));
                let fields: Vec<_> = fields.iter().map(named).collect::<Result<_>>()?;
                self.charge(fields.len())?;
                self.plan.types.record(fields)
            }
            D::Variant(cases) => {
                let named = |case: &VariantCase<'a>| Ok((case.name, optional(&case.ty)?));
                let cases: Vec<_> = cases.iter().map(named).collect::<Result<_>>()?;
                self.charge(cases.len())?;
                self.plan.types.variant(cases)
            }
            D::Tuple(types) => {
                let types: Vec<_> = types.iter().map(val).collect::<Result<_>>()?;
                self.charge(types.len())?;
                self.plan.types.tuple(types)
            }
            D::Flags(names) => {
                self.charge(names.len())?;
                self.plan.types.flags(names.iter().copied())
            }
            D::Enum(names) => {
                self.charge(names.len())?;
                self.plan.types.enum_(names.iter().copied())
            }
            D::Result { ok, err } => {
                let (ok, err) = (optional(ok)?, optional(err)?);
                self.plan.types.result(ok, err)
            }
            D::Map(key, value) => {
                let (key, value) = (val(key)?, val(value)?);
                self.plan.types.map(key, value)
            }
            D::List(ty) => val(ty).map(|ty| self.plan.types.list(ty))?,
            D::FixedLengthList(ty, n) => val(ty).map(|ty| self.plan.types.fixed_list(ty, *n))?,
            D::Option(ty) => val(ty).map(|ty| self.plan.types.option(ty))?,
            D::Future(ty) => optional(ty).map(|ty| self.plan.types.future(ty))?,
            D::Stream(ty) => optional(ty).map(|ty| self.plan.types.stream(ty))?,
            D::Own(index) => Ok(InterfaceType::Own(self.scopes[scope].resource(*index)?)),
            D::Borrow(index) => Ok(InterfaceType::Borrow(self.scopes[scope].resource(*index)?)),
        };
        made.map_err(|e| self.refused(e))
    }
}

/// A declaration of an instance type, or one of a component type that is no import.
enum Decl<'a> {
    CoreType(&'a CoreType<'a>),
    Type(&'a ComponentType<'a>),
    Alias(&'a ComponentAlias<'a>),
    Export(&'a str, &'a ComponentTypeRef),
}

impl<'a> Decl<'a> {
    fn of_instance_type(decl: &'a InstanceTypeDeclaration<'a>) -> Decl<'a> {
        match decl {
            InstanceTypeDeclaration::CoreType(ty) => Decl::CoreType(ty),
            InstanceTypeDeclaration::Type(ty) => Decl::Type(ty),
            InstanceTypeDeclaration::Alias(alias) => Decl::Alias(alias),
            InstanceTypeDeclaration::Export { name, ty } => Decl::Export(name.name, ty),
        }
    }

    /// None for an import.
    fn of_component_type(decl: &'a ComponentTypeDeclaration<'a>) -> Option<Decl<'a>> {
        Some(match decl {
            ComponentTypeDeclaration::CoreType(ty) => Decl::CoreType(ty),
            ComponentTypeDeclaration::Type(ty) => Decl::Type(ty),
            ComponentTypeDeclaration::Alias(alias) => Decl::Alias(alias),
            ComponentTypeDeclaration::Export { name, ty } => Decl::Export(name.name, ty),
            ComponentTypeDeclaration::Import(_) => return None,
        })
    }
}

fn primitive(ty: PrimitiveValType) -> InterfaceType {
    match ty {
        PrimitiveValType::Bool => InterfaceType::Bool,
        PrimitiveValType::S8 => InterfaceType::S8,
        PrimitiveValType::U8 => InterfaceType::U8,
        PrimitiveValType::S16 => InterfaceType::S16,
        PrimitiveValType::U16 => InterfaceType::U16,
        PrimitiveValType::S32 => InterfaceType::S32,
        PrimitiveValType::U32 => InterfaceType::U32,
        PrimitiveValType::S64 => InterfaceType::S64,
        PrimitiveValType::U64 => InterfaceType::U64,
        PrimitiveValType::F32 => InterfaceType::F32,
        PrimitiveValType::F64 => InterfaceType::F64,
        PrimitiveValType::Char => InterfaceType::Char,
        PrimitiveValType::String => InterfaceType::String,
        PrimitiveValType::ErrorContext => InterfaceType::ErrorContext,
    }
}
