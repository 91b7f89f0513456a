//! Calls written as text: `iface.func(1, "two", {three: 3})`.
//!
//! ```text
//!  "api.add(1, 2)" --name--> one exported function of the component --types--> [Val]
//!                  --arguments, as WAVE-------------------------------------------^
//!  result: Val --> WAVE
//! ```
//!
//! WAVE is the Component Model's text form of values. A function's name is that of its
//! export, `ns:pkg/iface@1.0.0#func`, or any end of it that only one function has.
//!
//! Not here: WAVE itself (the crate `wasm-wave`, to which this says what our values and
//! types are).

use crate::component::component::Component;
use crate::component::instance::Instance;
use crate::component::types::Type;
use crate::component::value::Val;
use crate::component::wave_handles::to_text;
use crate::core::context::AsContextMut;
use helve_abi::names::{ExternName, Role};
use helve_abi::types::{FuncTypeId, InterfaceType, Types};
use helve_base::{Error, Result, bail, ensure, error::Context};
use helve_decode::plan::{FuncItem, ImportPath, Item, Plan};
use std::borrow::Cow;
use std::sync::Arc;
use wasm_wave::ast::Node;
use wasm_wave::parser::{ParserError, ParserErrorKind};
use wasm_wave::untyped::UntypedValue;
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue, WasmValueError};

/// Most names that a message lists.
const MOST_LISTED: usize = 20;

/// A call of one of a component's exports, read from text.
///
/// ```
/// # use helve::component::{Component, Invocation, Linker};
/// # use helve::{Engine, Result, Store};
/// # fn main() -> Result<()> {
/// # let engine = Engine::new(&helve::Config::new())?;
/// let component = Component::new(&engine, r#"(component
///     (core module $m (func (export "add") (param i32 i32) (result i32)
///         (i32.add (local.get 0) (local.get 1))))
///     (core instance $i (instantiate $m))
///     (func (export "add") (param "a" u8) (param "b" u8) (result u8)
///         (canon lift (core func $i "add"))))"#)?;
/// let call = Invocation::parse(&component, "add(40, 2)")?;
/// let mut store = Store::new(&engine, ());
/// let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
/// assert_eq!(call.call(&mut store, &instance)?.as_deref(), Some("42"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Invocation {
    path: ImportPath,
    args: Vec<Val>,
    result: Option<InterfaceType>,
}

impl Invocation {
    /// Reads a call. The component is not instantiated for it.
    ///
    /// # Errors
    ///
    /// Where the component exports no such function, or several; where the arguments are
    /// not of its parameters' types; where a parameter's type has no text form (resources,
    /// streams, futures, error contexts).
    pub fn parse(component: &Component, text: &str) -> Result<Invocation> {
        let text = text.trim();
        let (name, args) = match text.find('(') {
            Some(at) => text.split_at(at),
            None => (text, "()"),
        };
        let plan = component.plan();
        let (path, func) = find(plan, name.trim_end())?;
        writable(&plan.types, func.ty, &path)?;
        let args = parse_args(&plan.types, func.ty, args);
        let ty = plan.types.display_func(func.ty);
        Ok(Invocation {
            args: args.with_context(|| format!("cannot call `{path}`, which is a {ty}"))?,
            result: plan.types[func.ty].result,
            path,
        })
    }

    /// The export that is called: `ns:pkg/iface@1.0.0#func`.
    pub fn name(&self) -> String {
        self.path.to_string()
    }

    /// The arguments.
    pub fn args(&self) -> &[Val] {
        &self.args
    }

    /// Calls the function in an instance of the component. Its result, where it has one,
    /// as WAVE. In place of a handle in it, which is dropped then, stands what it was:
    /// `<resource counter #7>` with its representation, `<stream>`.
    ///
    /// # Errors
    ///
    /// As [`Func::call`](crate::component::Func::call).
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        instance: &Instance,
    ) -> Result<Option<String>> {
        let func = self.find(&mut store, instance)?;
        let mut results = self.room();
        func.call(&mut store, &self.args, &mut results)?;
        self.text(store, instance, results)
    }

    fn room(&self) -> Vec<Val> {
        vec![Val::Bool(false); self.result.iter().len()]
    }

    fn text(
        &self,
        store: impl AsContextMut,
        instance: &Instance,
        mut results: Vec<Val>,
    ) -> Result<Option<String>> {
        let given = self.result.zip(results.pop());
        given
            .map(|(ty, val)| to_text(store, instance, ty, val))
            .transpose()
    }

    /// As [`Invocation::call`], for guests and hosts that wait.
    ///
    /// # Errors
    ///
    /// As [`Func::call_async`](crate::component::Func::call_async).
    pub async fn call_async(
        &self,
        mut store: impl AsContextMut,
        instance: &Instance,
    ) -> Result<Option<String>> {
        let func = self.find(&mut store, instance)?;
        let mut results = self.room();
        func.call_async(&mut store, &self.args, &mut results)
            .await?;
        self.text(store, instance, results)
    }

    fn find(
        &self,
        mut store: impl AsContextMut,
        instance: &Instance,
    ) -> Result<crate::component::Func> {
        let mut export = None;
        for name in self.path.0.iter() {
            let found = instance.get_export(&mut store, export.as_ref(), name);
            export = Some(found.ok_or_else(|| {
                Error::msg(format!("the instance has no export `{}`", self.path))
            })?);
        }
        let func = export.and_then(|export| instance.get_func(&mut store, &export));
        func.ok_or_else(|| {
            Error::msg(format!(
                "`{}` is a function of the host's, which the component only passes on",
                self.path
            ))
        })
    }
}

/// Values as text.
impl Val {
    /// The value of type `ty` that `text` writes in WAVE, the Component Model's text form
    /// of values: `{name: "a", tags: ["x", "y"], size: some(3)}`.
    ///
    /// # Errors
    ///
    /// Where the text is none of the type's; the error has the part that is wrong. Where the
    /// type has no text form (resources, streams, futures).
    pub fn from_wave(ty: &Type, text: &str) -> Result<Val> {
        let (types, ty) = ty.interned()?;
        let wrong = |e: ParserError| Error::msg(describe(&e, text));
        let parsed = UntypedValue::parse(text).map_err(wrong)?;
        let wave = WaveType {
            types: types.clone(),
            ty,
        };
        let val = parse_value(parsed.node(), &wave, text)?;
        val.check(&types, ty)?;
        Ok(val)
    }

    /// The value in WAVE.
    ///
    /// # Errors
    ///
    /// Where it holds something without a text form (resources, streams, futures).
    pub fn to_wave(&self) -> Result<String> {
        to_wave(self)
    }
}

/// A value as WAVE.
pub(super) fn to_wave(value: &Val) -> Result<String> {
    wasm_wave::to_string(value).with_context(|| format!("a {} has no text form", value.kind()))
}

/// The one function that a name means.
fn find(plan: &Plan, name: &str) -> Result<(ImportPath, FuncItem)> {
    ensure!(
        !name.is_empty(),
        "no function is named: expected `name(arguments)`"
    );
    let leaves = plan.export_leaves().into_iter();
    let funcs: Vec<(ImportPath, FuncItem)> = leaves
        .filter_map(|leaf| match leaf.item {
            Item::Func(func) => Some((leaf.path, func)),
            _ => None,
        })
        .collect();
    if let Some(exact) = funcs.iter().find(|(path, _)| path.to_string() == name) {
        return Ok(exact.clone());
    }
    let mut found = funcs.iter().filter(|(path, _)| is_short_for(name, path));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only.clone()),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(found);
            bail!(
                "`{name}` may mean any of{}",
                list(all.map(|(path, _)| path))
            )
        }
        (None, _) if funcs.is_empty() => bail!("the component exports no function"),
        (None, _) => {
            let all = list(funcs.iter().map(|(path, _)| path));
            bail!("the component exports no function `{name}`; it exports{all}")
        }
    }
}

fn list<'a>(paths: impl Iterator<Item = &'a ImportPath>) -> String {
    let mut paths = paths.map(|path| format!("\n  {path}"));
    let mut text: String = paths.by_ref().take(MOST_LISTED).collect();
    let more = paths.count();
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// Whether `name` is a shorter way to say `path`.
fn is_short_for(name: &str, path: &ImportPath) -> bool {
    let leaf = path.leaf();
    // `[method]counter.get` may be said without the bracket.
    let label = match ExternName::parse(leaf) {
        Ok(ExternName::Plain(plain)) if plain.role != Role::Free => {
            leaf.split_once(']').map_or(leaf, |(_, label)| label)
        }
        _ => leaf,
    };
    if name == leaf || name == label {
        return true;
    }
    let ends = [leaf, label]
        .into_iter()
        .find_map(|end| name.strip_suffix(end));
    let Some(around) = ends.and_then(|rest| rest.strip_suffix(['#', '.'])) else {
        return false;
    };
    let outer = path.0.len().checked_sub(1);
    let outer = outer.and_then(|end| path.0.get(..end)).unwrap_or(&[]);
    ImportPath(outer.into()).to_string() == around || is_around(around, outer)
}

/// Whether `around` is a shorter way to say the instances `outer`, from the innermost on
/// outwards as far as it goes.
fn is_around(around: &str, outer: &[Arc<str>]) -> bool {
    let Some((inner, outer)) = outer.split_last() else {
        return false;
    };
    let rest = around.strip_suffix(&**inner);
    is_interface(around, inner)
        || rest
            .and_then(|rest| rest.strip_suffix(['#', '.']))
            .is_some_and(|rest| is_around(rest, outer))
}

/// Whether `short` is an end of an interface's name, with or without a version on the
/// same track.
fn is_interface(short: &str, full: &str) -> bool {
    let (base, version) = full
        .split_once('@')
        .map_or((full, None), |(b, v)| (b, Some(v)));
    let (wanted, track) = short
        .split_once('@')
        .map_or((short, None), |(b, v)| (b, Some(v)));
    let track_of = |version| helve_abi::names::Track::parse(version);
    let same_track = match (track, version) {
        (None, _) => true,
        (Some(a), Some(b)) => a == b || track_of(a).is_some() && track_of(a) == track_of(b),
        (Some(_), None) => false,
    };
    let ends = base == wanted
        || base
            .strip_suffix(wanted)
            .is_some_and(|rest| rest.ends_with(['/', ':']));
    same_track && ends
}

/// That all types of a function's parameters have a text form.
fn writable(types: &Types, ty: FuncTypeId, path: &ImportPath) -> Result<()> {
    for (name, ty) in &types[ty].params {
        let ty = *ty;
        let without = types.contains_handle(ty)
            || types.contains_async_value(ty)
            || has_error_context(types, ty);
        ensure!(
            !without,
            "cannot call `{path}` from here: its parameter `{name}` is of type {}, and resources, streams, \
             futures and error contexts have no text form",
            types.display(ty)
        );
    }
    Ok(())
}

fn has_error_context(types: &Types, ty: InterfaceType) -> bool {
    let mut found = ty == InterfaceType::ErrorContext;
    types.each_part(ty, &mut |part| {
        found = found || has_error_context(types, part)
    });
    found
}

/// Arguments in parentheses.
fn parse_args(types: &Types, ty: FuncTypeId, text: &str) -> Result<Vec<Val>> {
    let inside = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let inside = inside.ok_or_else(|| Error::msg("the arguments must end with `)`"))?;
    let wrong = |e: ParserError| Error::msg(describe(&e, text));
    let parsed = match inside.trim().is_empty() {
        true => None,
        false => Some(UntypedValue::parse(text).map_err(wrong)?),
    };
    let mut nodes = Vec::new();
    if let Some(parsed) = &parsed {
        nodes.extend(parsed.node().as_tuple().map_err(wrong)?);
    }
    let params = &types[ty].params;
    let shared = Arc::new(types.clone());
    ensure!(
        nodes.len() <= params.len(),
        "{} arguments for {} parameters",
        nodes.len(),
        params.len()
    );
    let mut args = Vec::with_capacity(params.len());
    for (i, (name, ty)) in params.iter().enumerate() {
        let wave = WaveType {
            types: shared.clone(),
            ty: *ty,
        };
        let arg = match (nodes.get(i), ty) {
            (Some(node), _) => parse_value(node, &wave, text),
            // As in WAVE's records: an option that is not given is none.
            (None, InterfaceType::Option(_)) => Ok(Val::Option(None)),
            (None, _) => Err(Error::msg("it is missing")),
        };
        let arg = arg.and_then(|arg| arg.check(types, *ty).map(|()| arg));
        args.push(arg.with_context(|| format!("argument `{name}`, {}", types.display(*ty)))?);
    }
    Ok(args)
}

fn parse_value(node: &Node, ty: &WaveType, text: &str) -> Result<Val> {
    node.to_wasm_value(ty, text)
        .map_err(|e| Error::msg(describe(&e, text)))
}

/// What is wrong, with the text that is.
fn describe(error: &ParserError, text: &str) -> String {
    let detail = error.detail().map(str::to_owned);
    let what = match (error.kind(), detail) {
        (ParserErrorKind::UnexpectedToken, _) | (_, None) => error.kind().to_string(),
        (_, Some(detail)) => detail,
    };
    let source = std::error::Error::source(error);
    let what = source.map_or(what, |source| source.to_string());
    match text.get(error.span()) {
        Some(part) if !part.is_empty() => format!("{what}: `{part}`"),
        _ => format!("{what} at the end of `{text}`"),
    }
}

/// One of our types, as WAVE wants to see it.
#[derive(Clone, Debug)]
pub struct WaveType {
    types: Arc<Types>,
    ty: InterfaceType,
}

impl WaveType {
    fn of(&self, ty: InterfaceType) -> WaveType {
        WaveType {
            types: self.types.clone(),
            ty,
        }
    }
}

type Named<'a, T> = Box<dyn Iterator<Item = (Cow<'a, str>, T)> + 'a>;

impl WasmType for WaveType {
    fn kind(&self) -> WasmTypeKind {
        use InterfaceType as T;
        match self.ty {
            T::Bool => WasmTypeKind::Bool,
            T::S8 => WasmTypeKind::S8,
            T::U8 => WasmTypeKind::U8,
            T::S16 => WasmTypeKind::S16,
            T::U16 => WasmTypeKind::U16,
            T::S32 => WasmTypeKind::S32,
            T::U32 => WasmTypeKind::U32,
            T::S64 => WasmTypeKind::S64,
            T::U64 => WasmTypeKind::U64,
            T::F32 => WasmTypeKind::F32,
            T::F64 => WasmTypeKind::F64,
            T::Char => WasmTypeKind::Char,
            T::String => WasmTypeKind::String,
            T::Record(_) => WasmTypeKind::Record,
            T::Variant(_) => WasmTypeKind::Variant,
            // WAVE reads them alike; the length is checked afterwards.
            T::List(_) | T::FixedList(_) => WasmTypeKind::List,
            T::Map(_) => WasmTypeKind::Map,
            T::Tuple(_) => WasmTypeKind::Tuple,
            T::Flags(_) => WasmTypeKind::Flags,
            T::Enum(_) => WasmTypeKind::Enum,
            T::Option(_) => WasmTypeKind::Option,
            T::Result(_) => WasmTypeKind::Result,
            T::ErrorContext | T::Own(_) | T::Borrow(_) | T::Future(_) | T::Stream(_) => {
                WasmTypeKind::Unsupported
            }
        }
    }

    fn list_element_type(&self) -> Option<Self> {
        match self.ty {
            InterfaceType::List(id) => Some(self.of(self.types[id].element)),
            InterfaceType::FixedList(id) => Some(self.of(self.types[id].element)),
            _ => None,
        }
    }

    fn record_fields(&self) -> Named<'_, Self> {
        let fields = match self.ty {
            InterfaceType::Record(id) => &*self.types[id].fields,
            _ => &[],
        };
        Box::new(
            fields
                .iter()
                .map(|field| (Cow::Borrowed(&*field.name), self.of(field.ty))),
        )
    }

    fn tuple_element_types(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        let parts = match self.ty {
            InterfaceType::Tuple(id) => &*self.types[id].types,
            _ => &[],
        };
        Box::new(parts.iter().map(|&ty| self.of(ty)))
    }

    fn variant_cases(&self) -> Named<'_, Option<Self>> {
        let cases = match self.ty {
            InterfaceType::Variant(id) => &*self.types[id].cases,
            _ => &[],
        };
        let payload = |ty: Option<InterfaceType>| ty.map(|ty| self.of(ty));
        Box::new(
            cases
                .iter()
                .map(move |case| (Cow::Borrowed(&*case.name), payload(case.ty))),
        )
    }

    fn enum_cases(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let names = match self.ty {
            InterfaceType::Enum(id) => &*self.types[id].names,
            _ => &[],
        };
        Box::new(names.iter().map(|name| Cow::Borrowed(&**name)))
    }

    fn option_some_type(&self) -> Option<Self> {
        match self.ty {
            InterfaceType::Option(id) => Some(self.of(self.types[id].some)),
            _ => None,
        }
    }

    fn result_types(&self) -> Option<(Option<Self>, Option<Self>)> {
        match self.ty {
            InterfaceType::Result(id) => {
                let ty = self.types[id];
                Some((ty.ok.map(|ty| self.of(ty)), ty.err.map(|ty| self.of(ty))))
            }
            _ => None,
        }
    }

    fn flags_names(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let names = match self.ty {
            InterfaceType::Flags(id) => &*self.types[id].names,
            _ => &[],
        };
        Box::new(names.iter().map(|name| Cow::Borrowed(&**name)))
    }

    fn map_key_value_types(&self) -> Option<(Self, Self)> {
        match self.ty {
            InterfaceType::Map(id) => {
                Some((self.of(self.types[id].key), self.of(self.types[id].value)))
            }
            _ => None,
        }
    }
}

/// Methods of [`WasmValue`] for kinds that are one variant of [`Val`] with one field. WAVE
/// never asks a value of another kind; if it did it would get the default.
macro_rules! scalars {
    ($($make:ident, $unwrap:ident, $variant:ident: $ty:ty;)*) => {$(
        fn $make(val: $ty) -> Val {
            Val::$variant(val)
        }

        fn $unwrap(&self) -> $ty {
            match self {
                Val::$variant(val) => *val,
                _ => Default::default(),
            }
        }
    )*};
}

type Vals<'a> = Box<dyn Iterator<Item = Cow<'a, Val>> + 'a>;

fn boxed(val: Option<Val>) -> Option<Box<Val>> {
    val.map(Box::new)
}

fn borrowed(val: &Option<Box<Val>>) -> Option<Cow<'_, Val>> {
    val.as_deref().map(Cow::Borrowed)
}

fn known(mut names: impl Iterator<Item = bool>, name: &str) -> Result<(), WasmValueError> {
    match names.any(|same| same) {
        true => Ok(()),
        false => Err(WasmValueError::UnknownCase(name.into())),
    }
}

impl WasmValue for Val {
    type Type = WaveType;

    fn kind(&self) -> WasmTypeKind {
        match self {
            Val::Bool(_) => WasmTypeKind::Bool,
            Val::S8(_) => WasmTypeKind::S8,
            Val::U8(_) => WasmTypeKind::U8,
            Val::S16(_) => WasmTypeKind::S16,
            Val::U16(_) => WasmTypeKind::U16,
            Val::S32(_) => WasmTypeKind::S32,
            Val::U32(_) => WasmTypeKind::U32,
            Val::S64(_) => WasmTypeKind::S64,
            Val::U64(_) => WasmTypeKind::U64,
            Val::Float32(_) => WasmTypeKind::F32,
            Val::Float64(_) => WasmTypeKind::F64,
            Val::Char(_) => WasmTypeKind::Char,
            Val::String(_) => WasmTypeKind::String,
            Val::List(_) => WasmTypeKind::List,
            Val::Record(_) => WasmTypeKind::Record,
            Val::Tuple(_) => WasmTypeKind::Tuple,
            Val::Variant(..) => WasmTypeKind::Variant,
            Val::Enum(_) => WasmTypeKind::Enum,
            Val::Option(_) => WasmTypeKind::Option,
            Val::Result(_) => WasmTypeKind::Result,
            Val::Flags(_) => WasmTypeKind::Flags,
            Val::Map(_) => WasmTypeKind::Map,
            Val::Resource(_) | Val::Stream(_) | Val::Future(_) | Val::ErrorContext(_) => {
                WasmTypeKind::Unsupported
            }
        }
    }

    scalars! {
        make_bool, unwrap_bool, Bool: bool;
        make_s8, unwrap_s8, S8: i8;
        make_u8, unwrap_u8, U8: u8;
        make_s16, unwrap_s16, S16: i16;
        make_u16, unwrap_u16, U16: u16;
        make_s32, unwrap_s32, S32: i32;
        make_u32, unwrap_u32, U32: u32;
        make_s64, unwrap_s64, S64: i64;
        make_u64, unwrap_u64, U64: u64;
        make_f32, unwrap_f32, Float32: f32;
        make_f64, unwrap_f64, Float64: f64;
        make_char, unwrap_char, Char: char;
    }

    fn make_string(val: Cow<'_, str>) -> Val {
        Val::String(val.into_owned())
    }

    fn make_list(_: &WaveType, vals: impl IntoIterator<Item = Val>) -> Result<Val, WasmValueError> {
        Ok(Val::List(vals.into_iter().collect()))
    }

    fn make_record<'a>(
        _: &WaveType,
        fields: impl IntoIterator<Item = (&'a str, Val)>,
    ) -> Result<Val, WasmValueError> {
        let owned = fields.into_iter().map(|(name, val)| (name.to_owned(), val));
        Ok(Val::Record(owned.collect()))
    }

    fn make_tuple(
        _: &WaveType,
        vals: impl IntoIterator<Item = Val>,
    ) -> Result<Val, WasmValueError> {
        Ok(Val::Tuple(vals.into_iter().collect()))
    }

    fn make_variant(_: &WaveType, case: &str, val: Option<Val>) -> Result<Val, WasmValueError> {
        Ok(Val::Variant(case.to_owned(), boxed(val)))
    }

    fn make_enum(ty: &WaveType, case: &str) -> Result<Val, WasmValueError> {
        known(ty.enum_cases().map(|name| name == case), case)?;
        Ok(Val::Enum(case.to_owned()))
    }

    fn make_option(_: &WaveType, val: Option<Val>) -> Result<Val, WasmValueError> {
        Ok(Val::Option(boxed(val)))
    }

    fn make_result(
        _: &WaveType,
        val: Result<Option<Val>, Option<Val>>,
    ) -> Result<Val, WasmValueError> {
        Ok(Val::Result(val.map(boxed).map_err(boxed)))
    }

    fn make_flags<'a>(
        ty: &WaveType,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Val, WasmValueError> {
        let check = |name: &'a str| {
            known(ty.flags_names().map(|flag| flag == name), name).map(|()| name.to_owned())
        };
        Ok(Val::Flags(
            names.into_iter().map(check).collect::<Result<_, _>>()?,
        ))
    }

    fn make_map(
        _: &WaveType,
        entries: impl IntoIterator<Item = (Val, Val)>,
    ) -> Result<Val, WasmValueError> {
        Ok(Val::Map(entries.into_iter().collect()))
    }

    fn unwrap_string(&self) -> Cow<'_, str> {
        match self {
            Val::String(text) => Cow::Borrowed(text),
            _ => Cow::Borrowed(""),
        }
    }

    fn unwrap_list(&self) -> Vals<'_> {
        match self {
            Val::List(vals) => Box::new(vals.iter().map(Cow::Borrowed)),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn unwrap_record(&self) -> Named<'_, Cow<'_, Val>> {
        match self {
            Val::Record(fields) => Box::new(
                fields
                    .iter()
                    .map(|(name, val)| (Cow::Borrowed(&**name), Cow::Borrowed(val))),
            ),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn unwrap_tuple(&self) -> Vals<'_> {
        match self {
            Val::Tuple(vals) => Box::new(vals.iter().map(Cow::Borrowed)),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn unwrap_variant(&self) -> (Cow<'_, str>, Option<Cow<'_, Val>>) {
        match self {
            Val::Variant(case, payload) => (Cow::Borrowed(case), borrowed(payload)),
            _ => (Cow::Borrowed(""), None),
        }
    }

    fn unwrap_enum(&self) -> Cow<'_, str> {
        match self {
            Val::Enum(case) => Cow::Borrowed(case),
            _ => Cow::Borrowed(""),
        }
    }

    fn unwrap_option(&self) -> Option<Cow<'_, Val>> {
        match self {
            Val::Option(val) => borrowed(val),
            _ => None,
        }
    }

    fn unwrap_result(&self) -> Result<Option<Cow<'_, Val>>, Option<Cow<'_, Val>>> {
        match self {
            Val::Result(Ok(val)) => Ok(borrowed(val)),
            Val::Result(Err(val)) => Err(borrowed(val)),
            _ => Ok(None),
        }
    }

    fn unwrap_flags(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        match self {
            Val::Flags(names) => Box::new(names.iter().map(|name| Cow::Borrowed(&**name))),
            _ => Box::new(std::iter::empty()),
        }
    }

    fn unwrap_map(&self) -> Box<dyn Iterator<Item = (Cow<'_, Val>, Cow<'_, Val>)> + '_> {
        match self {
            Val::Map(pairs) => Box::new(
                pairs
                    .iter()
                    .map(|(key, val)| (Cow::Borrowed(key), Cow::Borrowed(val))),
            ),
            _ => Box::new(std::iter::empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names() {
        let path = |names: &[&str]| ImportPath(names.iter().map(|name| Arc::from(*name)).collect());
        let api = path(&["demo:kit/api@1.2.0", "add"]);
        let method = path(&["demo:kit/api@1.2.0", "[method]counter.get"]);
        let nested = path(&["demo:kit/api@1.2.0", "a", "b", "f"]);
        let cases: &[(&str, &ImportPath, bool)] = &[
            ("add", &api, true),
            ("api.add", &api, true),
            ("api#add", &api, true),
            ("kit/api#add", &api, true),
            ("demo:kit/api.add", &api, true),
            ("demo:kit/api@1.0.0#add", &api, true),
            ("demo:kit/api@1#add", &api, true),
            ("api@1.9.9.add", &api, true),
            ("demo:kit/api@2.0.0#add", &api, false),
            ("pi.add", &api, false),
            ("dd", &api, false),
            ("api.ad", &api, false),
            ("counter.get", &method, true),
            ("[method]counter.get", &method, true),
            ("api.counter.get", &method, true),
            ("api#[method]counter.get", &method, true),
            ("get", &method, false),
            ("f", &nested, true),
            ("b.f", &nested, true),
            ("a.b.f", &nested, true),
            ("api.a#b.f", &nested, true),
            ("demo:kit/api@1.0.0.a.b.f", &nested, true),
            ("demo:kit/api@1.2.0#a#b#f", &nested, true),
            ("a.f", &nested, false),
            ("x.b.f", &nested, false),
            ("other.a.b.f", &nested, false),
        ];
        for (name, path, want) in cases {
            assert_eq!(is_short_for(name, path), *want, "{name} for {path}");
        }
    }
}
