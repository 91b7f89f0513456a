//! Flattening: which core values a type becomes, and the core signatures of lifted and
//! lowered functions.
//!
//! A flat form never has more than [`MAX_FLAT_PARAMS`] values, or it is not used at all
//! and the value goes through memory; so a flat form is a `Copy` word of two bits per
//! value ([`FlatTypes`]), cached per type, and a type of a million fields costs nothing.
//!
//! Not here: moving values into these forms (`program`).

use crate::layout::PointerWidth;
use crate::types::{FuncTypeId, InterfaceType, Types};
use helve_base::core_type;

/// Most core values that parameters are passed as; more go through memory.
pub const MAX_FLAT_PARAMS: usize = 16;

/// The same for a function lowered with `async`.
pub const MAX_FLAT_ASYNC_PARAMS: usize = 4;

/// Most core values that results are passed as.
pub const MAX_FLAT_RESULTS: usize = 1;

/// A core value type that the canonical ABI uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlatType {
    /// `i32`.
    I32 = 0,
    /// `i64`.
    I64 = 1,
    /// `f32`.
    F32 = 2,
    /// `f64`.
    F64 = 3,
}

impl FlatType {
    /// What holds either of two: both payloads of a variant share the same values.
    pub const fn join(self, other: FlatType) -> FlatType {
        use FlatType::*;
        match (self, other) {
            (I32, I32) | (I32, F32) | (F32, I32) => I32,
            (F32, F32) => F32,
            (F64, F64) => F64,
            _ => I64,
        }
    }

    /// What an address is.
    pub const fn pointer(width: PointerWidth) -> FlatType {
        match width {
            PointerWidth::P32 => FlatType::I32,
            PointerWidth::P64 => FlatType::I64,
        }
    }

    /// As the core type it is.
    pub const fn core(self) -> core_type::ValType {
        match self {
            FlatType::I32 => core_type::ValType::I32,
            FlatType::I64 => core_type::ValType::I64,
            FlatType::F32 => core_type::ValType::F32,
            FlatType::F64 => core_type::ValType::F64,
        }
    }
}

/// Up to 32 core value types in order. Copying it is free.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FlatTypes {
    bits: u64,
    len: u8,
}

impl FlatTypes {
    /// None.
    pub const EMPTY: FlatTypes = FlatTypes { bits: 0, len: 0 };

    const CAPACITY: usize = 32;

    /// These types; what does not fit the 32 places is left out.
    pub const fn of(types: &[FlatType]) -> FlatTypes {
        let mut flat = FlatTypes::EMPTY;
        let mut i = 0;
        while i < types.len() {
            flat = flat.with(types[i]);
            i += 1;
        }
        flat
    }

    /// These, then one more.
    pub const fn with(self, ty: FlatType) -> FlatTypes {
        if self.len() == Self::CAPACITY {
            return self;
        }
        FlatTypes {
            bits: self.bits | (ty as u64) << (2 * self.len),
            len: self.len + 1,
        }
    }

    /// How many.
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The one at `i`.
    pub const fn get(self, i: usize) -> Option<FlatType> {
        if i >= self.len() {
            return None;
        }
        Some(match (self.bits >> (2 * i)) & 3 {
            0 => FlatType::I32,
            1 => FlatType::I64,
            2 => FlatType::F32,
            _ => FlatType::F64,
        })
    }

    /// All of them in order.
    pub fn iter(self) -> impl Iterator<Item = FlatType> + Clone {
        (0..self.len()).filter_map(move |i| self.get(i))
    }

    /// These, then those; `None` when more than [`MAX_FLAT_PARAMS`].
    pub fn and(self, more: FlatTypes) -> Option<FlatTypes> {
        if self.len() + more.len() > MAX_FLAT_PARAMS {
            return None;
        }
        Some(more.iter().fold(self, FlatTypes::with))
    }

    /// What holds either of two lists, place by place.
    pub fn join(self, other: FlatTypes) -> FlatTypes {
        let mut joined = FlatTypes::EMPTY;
        for i in 0..self.len().max(other.len()) {
            joined = match (self.get(i), other.get(i)) {
                (Some(a), Some(b)) => joined.with(a.join(b)),
                (Some(ty), None) | (None, Some(ty)) => joined.with(ty),
                (None, None) => joined,
            };
        }
        joined
    }

    /// As core types.
    pub fn core(self) -> impl Iterator<Item = core_type::ValType> + Clone {
        self.iter().map(FlatType::core)
    }
}

impl std::fmt::Debug for FlatTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl FromIterator<FlatType> for FlatTypes {
    fn from_iter<I: IntoIterator<Item = FlatType>>(types: I) -> FlatTypes {
        types.into_iter().fold(FlatTypes::EMPTY, FlatTypes::with)
    }
}

/// How values cross: as core values, or as the address of a tuple of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Passing {
    /// As these core values.
    Flat(FlatTypes),
    /// Through memory.
    Memory,
}

impl Passing {
    /// Whether through memory.
    pub fn is_memory(self) -> bool {
        self == Passing::Memory
    }
}

/// Which side of a call a core signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// `canon lift`: a core function is called from outside.
    Lift,
    /// `canon lower`: a core function calls outside.
    Lower,
}

/// What decides a core signature beside the function's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignatureOptions {
    /// Lifted or lowered.
    pub side: Side,
    /// The width of the memory's addresses (32 where there is no memory).
    pub width: PointerWidth,
    /// Whether the options say `async`.
    pub is_async: bool,
    /// Whether the options have a callback.
    pub callback: bool,
}

/// The core signature of a lifted or lowered function, and how it comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CoreSignature {
    /// The core function's parameters.
    pub params: FlatTypes,
    /// The core function's results.
    pub results: FlatTypes,
    /// How the parameters cross. In memory: the first core parameter is the address.
    pub param_passing: Passing,
    /// How the result crosses. In memory: its address is the core result of a lifted
    /// function and the last core parameter of a lowered one. `Flat` of nothing where
    /// there is no result, or where `task.return` takes it.
    pub result_passing: Passing,
}

impl CoreSignature {
    /// As a core function type.
    pub fn core(&self) -> core_type::FuncType {
        core_type::FuncType::new(self.params.core(), self.results.core())
    }
}

impl Types {
    /// The core values of these types one after the other; `None` when more than
    /// [`MAX_FLAT_PARAMS`].
    pub fn flatten(
        &self,
        types: impl IntoIterator<Item = InterfaceType>,
        width: PointerWidth,
    ) -> Option<FlatTypes> {
        let mut flat = FlatTypes::EMPTY;
        for ty in types {
            flat = flat.and(self.flat(ty, width)?)?;
        }
        Some(flat)
    }

    /// The core signature of a function of type `func` under `options`.
    pub fn core_signature(&self, func: FuncTypeId, options: SignatureOptions) -> CoreSignature {
        let SignatureOptions {
            side,
            width,
            is_async,
            callback,
        } = options;
        let func = &self[func];
        let pointer = FlatTypes::of(&[FlatType::pointer(width)]);
        let most = match (side, is_async) {
            (Side::Lower, true) => MAX_FLAT_ASYNC_PARAMS,
            _ => MAX_FLAT_PARAMS,
        };
        let param_passing = passing(
            self.flatten(func.params.iter().map(|(_, ty)| *ty), width),
            most,
        );
        let mut params = match param_passing {
            Passing::Flat(flat) => flat,
            Passing::Memory => pointer,
        };
        let i32s = |count: bool| {
            if count {
                FlatTypes::of(&[FlatType::I32])
            } else {
                FlatTypes::EMPTY
            }
        };
        let flat_result = self.flatten(func.result, width);
        let (results, result_passing) = match (side, is_async) {
            (Side::Lift, true) => (i32s(callback), Passing::Flat(FlatTypes::EMPTY)),
            (Side::Lift, false) => match passing(flat_result, MAX_FLAT_RESULTS) {
                Passing::Flat(flat) => (flat, Passing::Flat(flat)),
                Passing::Memory => (pointer, Passing::Memory),
            },
            (Side::Lower, _) => {
                let most = if is_async { 0 } else { MAX_FLAT_RESULTS };
                let passing = passing(flat_result, most);
                let flat = match passing {
                    Passing::Flat(flat) => flat,
                    Passing::Memory => {
                        params = params.with(FlatType::pointer(width));
                        FlatTypes::EMPTY
                    }
                };
                (if is_async { i32s(true) } else { flat }, passing)
            }
        };
        CoreSignature {
            params,
            results,
            param_passing,
            result_passing,
        }
    }

    /// The core parameters of the `task.return` of a function with this result, and how
    /// it crosses.
    pub fn task_return_params(
        &self,
        result: Option<InterfaceType>,
        width: PointerWidth,
    ) -> (FlatTypes, Passing) {
        let passing = passing(self.flatten(result, width), MAX_FLAT_PARAMS);
        match passing {
            Passing::Flat(flat) => (flat, passing),
            Passing::Memory => (FlatTypes::of(&[FlatType::pointer(width)]), passing),
        }
    }
}

fn passing(flat: Option<FlatTypes>, most: usize) -> Passing {
    match flat {
        Some(flat) if flat.len() <= most => Passing::Flat(flat),
        _ => Passing::Memory,
    }
}
