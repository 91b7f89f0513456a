//! The item that something of a type is: a given one, seen as that type, or one that the
//! linker will supply.
//!
//! Within one file validation has seen to it that what is given has the type. Where a
//! linker brought components together ([`crate::origin`]), it is found out here; so what
//! does not fit is an error that says where and what, and never a bug.

use crate::error::{bug, mismatch, unsupported};
use crate::origin::GivenItem;
use crate::plan::*;
use crate::resolve::{ComponentValue, Resolver};
use crate::scope::{ScopeId, at};
use helve_base::{Error, Result};
use wasmparser::{ComponentTypeRef, TypeBounds};

impl<'a> Resolver<'a> {
    /// The item that something of type `ty` is; `path` is what messages call it.
    pub fn item_of_type(
        &mut self,
        scope: ScopeId,
        ty: &ComponentTypeRef,
        given: Option<&Item>,
        path: &ImportPath,
    ) -> Result<Item> {
        match given {
            Some(item) => self.given_item(scope, ty, item, path),
            None => self.new_item(scope, ty, path),
        }
    }

    /// A given item as one of type `ty`.
    fn given_item(
        &mut self,
        scope: ScopeId,
        ty: &ComponentTypeRef,
        item: &Item,
        path: &ImportPath,
    ) -> Result<Item> {
        match (ty, item) {
            (ComponentTypeRef::Instance(index), Item::Instance(instance)) => {
                let template = *at(&self.scopes[scope].types, *index, "type")?;
                let instance = self.expand(template, Some(instance.clone()), path)?;
                Ok(Item::Instance(instance.into()))
            }
            (ComponentTypeRef::Func(index), Item::Func(func)) => {
                let ty = self.scopes[scope].func_type(*index)?;
                match func.ty == ty {
                    true => Ok(item.clone()),
                    false => {
                        let expected = self.plan.types.display_func(ty).to_string();
                        Err(self.differs(path, &expected, item))
                    }
                }
            }
            (ComponentTypeRef::Component(index), Item::Component(id)) => {
                let TypeItem::Component(ty) = self.scopes[scope].type_item(*index)? else {
                    return Err(bug(format!("the type of `{path}` is not a component type")));
                };
                if self.is_linked {
                    self.check_component(*id, ty, path)?;
                }
                Ok(Item::Component(
                    self.component(ComponentValue::Seen(*id, ty)),
                ))
            }
            (ComponentTypeRef::Module(index), Item::Module(module)) => {
                if self.is_linked {
                    let ty = self.scopes[scope].module_type(*index, self.offset)?;
                    self.check_module(*module, ty, path);
                }
                Ok(item.clone())
            }
            (
                ComponentTypeRef::Type(TypeBounds::SubResource),
                Item::Type(TypeItem::Resource(_)),
            ) => Ok(item.clone()),
            (ComponentTypeRef::Type(TypeBounds::Eq(index)), Item::Type(found)) => {
                let expected = self.scopes[scope].type_item(*index)?;
                match same_types(&expected, found) {
                    true => Ok(item.clone()),
                    false => {
                        let expected = self.plan.describe(&Item::Type(expected));
                        Err(self.differs(path, &expected, item))
                    }
                }
            }
            (ComponentTypeRef::Value(_), _) => {
                Err(unsupported(format!("the value `{path}`"), self.offset))
            }
            _ => Err(self.differs(path, noun(ty), item)),
        }
    }

    /// An item of type `ty` that the linker will supply, or has supplied.
    fn new_item(
        &mut self,
        scope: ScopeId,
        ty: &ComponentTypeRef,
        path: &ImportPath,
    ) -> Result<Item> {
        match ty {
            ComponentTypeRef::Value(_) => {
                Err(unsupported(format!("the value `{path}`"), self.offset))
            }
            ComponentTypeRef::Instance(index) => {
                let template = *at(&self.scopes[scope].types, *index, "type")?;
                let instance = self.expand(template, None, path)?;
                Ok(Item::Instance(instance.into()))
            }
            ComponentTypeRef::Func(index) => {
                let ty = self.scopes[scope].func_type(*index)?;
                let path = path.clone();
                let func = self.plan.imported_funcs.push(ImportedFunc { path, ty });
                let func = FuncRef::Imported(func);
                Ok(Item::Func(FuncItem { func, ty }))
            }
            ComponentTypeRef::Type(bounds) => self.imported_type(scope, bounds, path),
            ComponentTypeRef::Module(index) => {
                let ty = self.scopes[scope].module_type(*index, self.offset)?;
                let captured = match self.given.get(path) {
                    Some(GivenItem::Module(number)) => Some(*number),
                    _ => None,
                };
                let module = self.plan.imported_modules.push(ImportedModule {
                    path: path.clone(),
                    ty,
                    captured,
                });
                Ok(Item::Module(ModuleRef::Imported(module)))
            }
            ComponentTypeRef::Component(index) => {
                let TypeItem::Component(ty) = self.scopes[scope].type_item(*index)? else {
                    return Err(bug(format!("the type of `{path}` is not a component type")));
                };
                let value = match self.given.get(path).copied() {
                    Some(GivenItem::Component(id)) => {
                        self.check_component(id, ty, path)?;
                        ComponentValue::Seen(id, ty)
                    }
                    _ => {
                        self.plan.imported_components.push(path.clone());
                        ComponentValue::Imported(ty, path.clone())
                    }
                };
                Ok(Item::Component(self.component(value)))
            }
        }
    }

    /// An error for an item that is not what it must be.
    fn differs(&self, path: &ImportPath, expected: &str, found: &Item) -> Error {
        let found = match found {
            Item::Func(_) | Item::Type(_) => self.plan.describe(found),
            other => other.noun().to_string(),
        };
        mismatch(format!(
            "type mismatch for `{path}`: expected {expected}, found {found}"
        ))
    }
}

/// Whether two types are the same one. Instance and component types are compared where
/// something has them.
fn same_types(a: &TypeItem, b: &TypeItem) -> bool {
    match (a, b) {
        (TypeItem::Instance(_), TypeItem::Instance(_)) => true,
        (TypeItem::Component(_), TypeItem::Component(_)) => true,
        (a, b) => a == b,
    }
}

fn noun(ty: &ComponentTypeRef) -> &'static str {
    match ty {
        ComponentTypeRef::Module(_) => "core module",
        ComponentTypeRef::Func(_) => "function",
        ComponentTypeRef::Value(_) => "value",
        ComponentTypeRef::Type(TypeBounds::SubResource) => "resource",
        ComponentTypeRef::Type(TypeBounds::Eq(_)) => "type",
        ComponentTypeRef::Instance(_) => "instance",
        ComponentTypeRef::Component(_) => "component",
    }
}
