//! Rust types as component values: the traits, and what every implementation relies on.
//!
//! ```text
//!                 lanes (flat)            guest memory
//!  host -> guest  Lower::lower            Lower::store, store_slice
//!  guest -> host  Lift::lift              Lift::load,   load_slice
//! ```
//!
//! [`ComponentType`] says which type it is: a layout known at compile time, and a check
//! against the component's type that runs once, when a function is looked up or linked.
//! After it, values are moved without looking at types again, with one exception: a
//! handle's meaning depends on its type (`own` or `borrow`, and which resource), so the
//! value's [`InterfaceType`] is passed along, and only types that set
//! [`ComponentType::NEEDS_TYPE`] look at it.
//!
//! # Implementing them (what derives expand to)
//!
//! A **record** `{ a: A, b: B }`:
//! - `FLAT` = that of all fields, and `store_flat`: each field goes to [`flat_field`];
//! - `LAYOUT = Layout::record(&[A::LAYOUT, B::LAYOUT])`, `NEEDS_TYPE` = that of any field;
//! - `typecheck`: [`TypeCheck::record`] with each field's name and `T::typecheck`;
//! - `lower`: a [`LaneCursor`] over `dst`; each field gets `lanes.next::<A>()?`;
//! - `store`: a [`FieldCursor`]; each field goes to `at + fields.next::<A>(cx.width())`;
//! - `lift` and `load` likewise. The type of field `i` is `part::<A>(cx.types(), ty, i)`.
//!
//! A **variant**: `const CASES: VariantLayout = VariantLayout::new(&[None, Some(A::LAYOUT)])`,
//! `LAYOUT = CASES.layout`; `dst[0]` is the case number, [`payload_lanes`] gives the zeroed
//! payload lanes; in memory [`LowerContext::put_discriminant`] and the payload at
//! `at + CASES.payload(cx.width())`. To lift: [`LiftContext::discriminant`] (or
//! `src[0].u32()`), then the payload, or [`invalid_discriminant`]. An **enum** is a variant
//! without payloads. **Flags**: `Layout::flags(n)`, one lane, `put_discriminant` and
//! `discriminant` of `LAYOUT.size32` bytes, and unknown bits are dropped.
//!
//! Not here: the implementations for Rust's own types (`typed::*`), the contexts (`lift`,
//! `lower`), values whose type is only known at run time (`value`).

mod check;
mod error_context;
mod list;
mod scalar;
mod string;
mod tuple;
mod variant;
mod view;

pub use crate::component::call::lane::Lane;
pub use crate::component::lift::LiftContext;
pub use crate::component::lower::LowerContext;
pub use check::{CheckFn, TypeCheck};
pub use helve_abi::layout::{Layout, PointerWidth, VariantLayout};
pub use helve_abi::types::{FuncType, InterfaceType, Types};
pub(crate) use scalar::character;
pub use view::{WasmList, WasmStr};

use helve_abi::error::AbiError;
use helve_base::{Bug, Error, Result};

/// A Rust type that stands for a component value type.
///
/// ```
/// use helve::component::{ComponentType, Lift, Lower};
/// #[derive(ComponentType, Lift, Lower)]
/// #[component(record)]
/// struct Point {
///     x: i32,
///     #[component(name = "y-axis")]
///     y: i32,
/// }
/// fn crosses_borders<T: ComponentType + Lift + Lower>() {}
/// crosses_borders::<Vec<Option<Point>>>();
/// ```
pub trait ComponentType {
    /// Size, alignment and number of lanes.
    const LAYOUT: Layout;

    /// Whether lifting and lowering look at the value's [`InterfaceType`]: true for
    /// handles and whatever contains them.
    const NEEDS_TYPE: bool = false;

    /// Whether each value is so many bytes, whatever the width of addresses, that
    /// [`Lower::store_flat`] writes: numbers, and what is made of nothing else. Lists of such
    /// are checked once, as a whole.
    const FLAT: bool = false;

    /// Whether `ty` is the type this stands for; the error says what was expected and
    /// found.
    fn typecheck(ty: InterfaceType, cx: &TypeCheck<'_>) -> Result<()>;

    /// The same for what may be missing: the payload of a case, a function's result.
    #[doc(hidden)]
    fn typecheck_optional(ty: Option<InterfaceType>, cx: &TypeCheck<'_>) -> Result<()> {
        match ty {
            Some(ty) => Self::typecheck(ty, cx),
            None => Err(cx.mismatch(std::any::type_name::<Self>(), "no value")),
        }
    }
}

/// A host value that can be given to a guest.
///
/// ```
/// use helve::component::{ComponentType, Lower};
/// #[derive(ComponentType, Lower)]
/// #[component(enum)]
/// #[repr(u8)]
/// enum Light {
///     #[component(name = "red")]
///     Red,
///     #[component(name = "green")]
///     Green,
/// }
/// fn is_argument<T: Lower>() {}
/// is_argument::<Light>();
/// ```
pub trait Lower: ComponentType {
    /// Writes it to `dst`, which has exactly as many lanes as the layout says.
    fn lower(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, dst: &mut [Lane]) -> Result<()>;

    /// Writes it to guest memory at `at`, which was checked to be aligned and in bounds.
    fn store(&self, cx: &mut LowerContext<'_>, ty: InterfaceType, at: usize) -> Result<()>;

    /// Writes it to exactly as many bytes as the layout says, where
    /// [`ComponentType::FLAT`] says that this is all there is to it.
    fn store_flat(&self, _to: &mut [u8]) {}

    /// Stores `items` one after the other from `at`; `ty` is one item's.
    fn store_slice(
        items: &[Self],
        cx: &mut LowerContext<'_>,
        ty: InterfaceType,
        at: usize,
    ) -> Result<()>
    where
        Self: Sized,
    {
        if Self::FLAT {
            // Constant, so that nothing is left to check item by item.
            let size = Self::LAYOUT.size32 as usize;
            let bytes = cx.bytes_mut(at, items.len().saturating_mul(size))?;
            for (item, to) in items.iter().zip(bytes.chunks_exact_mut(size.max(1))) {
                item.store_flat(to);
            }
            return Ok(());
        }
        let size = Self::LAYOUT.size(cx.width()) as usize;
        for (i, item) in items.iter().enumerate() {
            item.store(cx, ty, at + i * size)?;
        }
        Ok(())
    }

    /// Lowers a function's result list, which this is.
    #[doc(hidden)]
    fn lower_result(
        &self,
        cx: &mut LowerContext<'_>,
        ty: Option<InterfaceType>,
        dst: &mut [Lane],
    ) -> Result<()> {
        self.lower(cx, ty.unwrap_or(InterfaceType::Bool), dst)
    }

    /// Stores a function's result list, which this is.
    #[doc(hidden)]
    fn store_result(
        &self,
        cx: &mut LowerContext<'_>,
        ty: Option<InterfaceType>,
        at: usize,
    ) -> Result<()> {
        self.store(cx, ty.unwrap_or(InterfaceType::Bool), at)
    }
}

/// A host value that can be made from a guest's.
///
/// ```
/// use helve::component::{ComponentType, Lift};
/// #[derive(ComponentType, Lift)]
/// #[component(variant)]
/// enum Shape {
///     #[component(name = "dot")]
///     Dot,
///     #[component(name = "circle")]
///     Circle(f64),
/// }
/// fn is_result<T: Lift>() {}
/// is_result::<Shape>();
/// ```
pub trait Lift: ComponentType + Sized {
    /// Reads it from `src`, which has exactly as many lanes as the layout says.
    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &[Lane]) -> Result<Self>;

    /// Reads it from guest memory: `bytes` is exactly as long as the layout says.
    fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self>;

    /// Reads it from exactly as many bytes as the layout says, where
    /// [`ComponentType::FLAT`] says that this is all there is to it.
    ///
    /// # Errors
    ///
    /// Bytes that are no such value; a type that is not flat.
    fn load_flat(_bytes: &[u8]) -> Result<Self> {
        Err(too_few_lanes())
    }

    /// Reads as many as there are in `bytes`, a multiple of the size; `ty` is one item's.
    fn load_slice(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Vec<Self>> {
        if Self::FLAT {
            // Constant, so that nothing is left to check item by item.
            let size = (Self::LAYOUT.size32 as usize).max(1);
            let mut items = Vec::with_capacity(bytes.len() / size);
            for item in bytes.chunks_exact(size) {
                items.push(Self::load_flat(item)?);
            }
            return Ok(items);
        }
        let size = (Self::LAYOUT.size(cx.width()) as usize).max(1);
        let mut items = Vec::with_capacity(bytes.len() / size);
        for item in bytes.chunks_exact(size) {
            items.push(Self::load(cx, ty, item)?);
        }
        Ok(items)
    }

    /// Lifts a function's result list, which this is.
    #[doc(hidden)]
    fn lift_result(
        cx: &mut LiftContext<'_>,
        ty: Option<InterfaceType>,
        src: &[Lane],
    ) -> Result<Self> {
        Self::lift(cx, ty.unwrap_or(InterfaceType::Bool), src)
    }

    /// Loads a function's result list, which this is.
    #[doc(hidden)]
    fn load_result(
        cx: &mut LiftContext<'_>,
        ty: Option<InterfaceType>,
        bytes: &[u8],
    ) -> Result<Self> {
        Self::load(cx, ty.unwrap_or(InterfaceType::Bool), bytes)
    }
}

/// The parameters or the results of a function: a tuple, `()` for none. Results are `()`
/// or `(R,)`.
///
/// ```
/// use helve::component::ComponentNamedList;
/// fn is_list<T: ComponentNamedList>() {}
/// is_list::<()>();
/// is_list::<(u32, String)>(); // two parameters
/// is_list::<(Vec<u8>,)>(); // one result
/// ```
pub trait ComponentNamedList: ComponentType {
    /// Whether these are the parameters of such a function.
    #[doc(hidden)]
    fn typecheck_params(params: &[(Box<str>, InterfaceType)], cx: &TypeCheck<'_>) -> Result<()>;

    /// Whether this is the result of such a function.
    #[doc(hidden)]
    fn typecheck_result(result: Option<InterfaceType>, cx: &TypeCheck<'_>) -> Result<()>;
}

/// Lanes of a type that is passed as lanes at all.
pub const fn lanes<T: ComponentType + ?Sized>() -> usize {
    match T::LAYOUT.flat_count {
        Some(count) => count as usize,
        None => 0,
    }
}

/// The type of part `index` of `ty`, which stands for a `T`: a record's or tuple's field,
/// a variant's payload by case number (`ok` 0, `error` 1; `some` 1), a list's element 0.
#[inline(always)]
pub fn part<T: ComponentType + ?Sized>(
    types: &Types,
    ty: InterfaceType,
    index: usize,
) -> InterfaceType {
    if !T::NEEDS_TYPE {
        return InterfaceType::Bool; // nobody looks at it
    }
    // Parameters are one.
    if let InterfaceType::Tuple(id) = ty
        && let Some(part) = types[id].types.get(index)
    {
        return *part;
    }
    any_part(types, ty, index)
}

/// The same of any type.
#[inline(never)]
fn any_part(types: &Types, ty: InterfaceType, index: usize) -> InterfaceType {
    let part = match ty {
        InterfaceType::Record(id) => types[id].fields.get(index).map(|field| field.ty),
        InterfaceType::Tuple(id) => types[id].types.get(index).copied(),
        InterfaceType::Variant(id) => types[id].cases.get(index).and_then(|case| case.ty),
        InterfaceType::Option(id) => Some(types[id].some),
        InterfaceType::Result(id) if index == 0 => types[id].ok,
        InterfaceType::Result(id) => types[id].err,
        InterfaceType::List(id) => Some(types[id].element),
        InterfaceType::FixedList(id) => Some(types[id].element),
        InterfaceType::Map(id) => Some(InterfaceType::Tuple(types[id].entry)),
        _ => None,
    };
    part.unwrap_or(InterfaceType::Bool) // the types were checked: there is one
}

/// Hands out the lanes of one field after the other, to write.
#[derive(Debug)]
pub struct LaneCursor<'a>(&'a mut [Lane]);

impl<'a> LaneCursor<'a> {
    /// From the first of `dst`.
    #[inline]
    pub fn new(dst: &'a mut [Lane]) -> LaneCursor<'a> {
        LaneCursor(dst)
    }

    /// The lanes of a `T`.
    ///
    /// # Errors
    ///
    /// Where there are fewer lanes than the type has.
    #[inline]
    #[allow(clippy::should_implement_trait)] // generic in what comes next
    pub fn next<T: ComponentType + ?Sized>(&mut self) -> Result<&'a mut [Lane]> {
        match std::mem::take(&mut self.0).split_at_mut_checked(lanes::<T>()) {
            Some((lanes, rest)) => {
                self.0 = rest;
                Ok(lanes)
            }
            None => Err(too_few_lanes()),
        }
    }
}

/// Hands out the lanes of one field after the other, to read.
#[derive(Clone, Debug)]
pub struct LaneReader<'a>(&'a [Lane]);

impl<'a> LaneReader<'a> {
    /// From the first of `src`.
    #[inline]
    pub fn new(src: &'a [Lane]) -> LaneReader<'a> {
        LaneReader(src)
    }

    /// The lanes of a `T`.
    ///
    /// # Errors
    ///
    /// Where there are fewer lanes than the type has.
    #[inline]
    #[allow(clippy::should_implement_trait)] // generic in what comes next
    pub fn next<T: ComponentType + ?Sized>(&mut self) -> Result<&'a [Lane]> {
        match self.0.split_at_checked(lanes::<T>()) {
            Some((lanes, rest)) => {
                self.0 = rest;
                Ok(lanes)
            }
            None => Err(too_few_lanes()),
        }
    }
}

/// The bytes of a flat `T` at the next place in a flat record's `bytes`, to write.
#[inline]
pub fn flat_field<'b, T: ComponentType>(
    fields: &mut FieldCursor,
    bytes: &'b mut [u8],
) -> &'b mut [u8] {
    let at = fields.next::<T>(PointerWidth::P32);
    let end = at + T::LAYOUT.size32 as usize;
    bytes.get_mut(at..end).unwrap_or_default()
}

/// The bytes of a flat `T` at the next place in a flat record's `bytes`, to read.
#[inline]
pub fn flat_part<'b, T: ComponentType>(fields: &mut FieldCursor, bytes: &'b [u8]) -> &'b [u8] {
    let at = fields.next::<T>(PointerWidth::P32);
    let end = at + T::LAYOUT.size32 as usize;
    bytes.get(at..end).unwrap_or_default()
}

/// A number of 1, 2 or 4 bytes: a case, or flags.
#[inline]
pub fn flat_number(bytes: &[u8]) -> Result<u32> {
    match *bytes {
        [a] => Ok(a.into()),
        [a, b] => Ok(u16::from_le_bytes([a, b]).into()),
        [a, b, c, d] => Ok(u32::from_le_bytes([a, b, c, d])),
        _ => Err(too_few_lanes()),
    }
}

/// Writes as many of a number's bytes, the lowest first, as there is room for.
#[inline]
pub fn put_flat(to: &mut [u8], bytes: &[u8]) {
    if let Some(bytes) = bytes.get(..to.len()) {
        to.copy_from_slice(bytes);
    }
}

/// Hands out the offsets of a record's fields in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldCursor(u32);

impl FieldCursor {
    /// From the record's first byte.
    #[inline]
    pub const fn new() -> FieldCursor {
        FieldCursor(0)
    }

    /// Where a `T` stands, from the record's first byte.
    #[inline]
    pub fn next<T: ComponentType + ?Sized>(&mut self, width: PointerWidth) -> usize {
        T::LAYOUT.next_field(width, &mut self.0) as usize
    }

    /// The bytes of a `T` in the record's `bytes`.
    ///
    /// # Errors
    ///
    /// Where the record ends before.
    #[inline]
    pub fn bytes<'b, T: ComponentType + ?Sized>(
        &mut self,
        width: PointerWidth,
        bytes: &'b [u8],
    ) -> Result<&'b [u8]> {
        let at = self.next::<T>(width);
        sub_slice::<T>(bytes, at, width)
    }
}

/// The bytes of a `T` at `at` in `bytes`.
#[inline]
pub fn sub_slice<T: ComponentType + ?Sized>(
    bytes: &[u8],
    at: usize,
    width: PointerWidth,
) -> Result<&[u8]> {
    let size = T::LAYOUT.size(width) as usize;
    match bytes.get(at..at + size) {
        Some(bytes) => Ok(bytes),
        None => Err(Error::new(Bug(format!(
            "a value of {} bytes has none at {at}",
            bytes.len()
        )))),
    }
}

/// The payload lanes of a variant, zeroed, of which a `T` takes the first ones. Call it
/// with `()` for a case without payload.
#[inline]
pub fn payload_lanes<T: ComponentType + ?Sized>(dst: &mut [Lane]) -> Result<&mut [Lane]> {
    let payload = dst.get_mut(1..).ok_or_else(too_few_lanes)?;
    payload.fill(Lane::ZERO);
    payload.get_mut(..lanes::<T>()).ok_or_else(too_few_lanes)
}

/// The payload lanes of a variant that a `T` is read from.
#[inline]
pub fn payload_of<T: ComponentType + ?Sized>(src: &[Lane]) -> Result<&[Lane]> {
    src.get(1..1 + lanes::<T>()).ok_or_else(too_few_lanes)
}

/// The trap of a variant or enum whose case number is none.
#[cold]
pub fn invalid_discriminant(found: u32, cases: u32) -> Error {
    AbiError::InvalidDiscriminant(found, cases).into()
}

#[cold]
pub(crate) fn too_few_lanes() -> Error {
    Error::new(Bug(
        "a value was given fewer lanes than its layout says".into()
    ))
}

/// Writes a scalar's lane.
#[inline]
pub(crate) fn set_lane(dst: &mut [Lane], lane: Lane) -> Result<()> {
    *dst.first_mut().ok_or_else(too_few_lanes)? = lane;
    Ok(())
}

/// Reads a scalar's lane.
#[inline]
pub(crate) fn get_lane(src: &[Lane]) -> Result<Lane> {
    src.first().copied().ok_or_else(too_few_lanes)
}
