//! How a wasm function's parameters and results travel.
//!
//! ```text
//!  wasm     (context, [result area], params...) -> first results      `tail` convention
//!  builtin  as its row says                                           C convention
//! ```
//!
//! **Results.** Up to six integers (and references) and six floats (and vectors) come
//! back in registers. Results beyond those are stored to the *result area*, memory of the
//! caller whose address is the second parameter (only where the type needs it). A tail
//! call hands its own area on: caller and callee have the same results, so they agree
//! about it. Cranelift's own way of returning many values is deprecated; this one is ours.

use crate::types::{POINTER, clif};
use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, Type};
use cranelift_codegen::isa::CallConv;
use helve_base::builtin::{Builtin, BuiltinSignature, BuiltinType};
use helve_base::core_type::{FuncType, ValType};

/// Bytes from one value to the next in a result area, and in an array of `ValRaw`.
pub(crate) const VALUE_STRIDE: u32 = 16;

const INTEGER_RESULTS: u32 = 6;
const FLOAT_RESULTS: u32 = 6;

/// Where one result comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultPlace {
    /// As the next value that the call itself returns.
    Register,
    /// In the result area, at this offset.
    Area(i32),
}

/// The machine's view of a wasm function type.
#[derive(Debug)]
pub(crate) struct WasmSignature {
    /// For Cranelift.
    pub(crate) clif: Signature,
    /// The types of the parameters, without context and result area.
    pub(crate) params: Vec<Type>,
    /// The type and place of each result.
    pub(crate) results: Vec<(Type, ResultPlace)>,
    /// Bytes of the result area; 0 where the type needs none.
    pub(crate) area: u32,
}

impl WasmSignature {
    /// How functions of type `ty` are called.
    pub(crate) fn new(ty: &FuncType) -> WasmSignature {
        let (mut integers, mut floats, mut area) = (0, 0, 0u32);
        let mut place = |ty: &ValType| {
            let (used, most) = match ty {
                ValType::I32 | ValType::I64 | ValType::Ref(_) => (&mut integers, INTEGER_RESULTS),
                ValType::F32 | ValType::F64 | ValType::V128 => (&mut floats, FLOAT_RESULTS),
            };
            *used += 1;
            if *used <= most {
                return (clif(*ty), ResultPlace::Register);
            }
            let offset = area;
            area += VALUE_STRIDE;
            (clif(*ty), ResultPlace::Area(offset as i32))
        };
        let results: Vec<_> = ty.results.iter().map(&mut place).collect();
        let params: Vec<_> = ty.params.iter().map(|&ty| clif(ty)).collect();

        let mut signature = Signature::new(CallConv::Tail);
        signature
            .params
            .push(AbiParam::special(POINTER, ArgumentPurpose::VMContext));
        if area > 0 {
            signature.params.push(AbiParam::new(POINTER));
        }
        signature
            .params
            .extend(params.iter().map(|&ty| AbiParam::new(ty)));
        let registers = results
            .iter()
            .filter(|(_, place)| *place == ResultPlace::Register);
        signature
            .returns
            .extend(registers.map(|&(ty, _)| AbiParam::new(ty)));
        WasmSignature {
            clif: signature,
            params,
            results,
            area,
        }
    }
}

/// The signature of a routine of the VM, under the platform's own convention.
pub(crate) fn builtin_signature(builtin: Builtin, convention: CallConv) -> Signature {
    row_signature(&builtin.signature(), convention)
}

/// The signature of a routine with this row.
pub(crate) fn row_signature(row: &BuiltinSignature, convention: CallConv) -> Signature {
    let mut signature = Signature::new(convention);
    signature
        .params
        .extend(row.params.iter().map(|&ty| AbiParam::new(builtin_type(ty))));
    signature
        .returns
        .extend(row.result.iter().map(|&ty| AbiParam::new(builtin_type(ty))));
    signature
}

fn builtin_type(ty: BuiltinType) -> Type {
    use cranelift_codegen::ir::types::{I32, I64};
    match ty {
        BuiltinType::VMContext | BuiltinType::Pointer => POINTER,
        BuiltinType::I32 => I32,
        BuiltinType::I64 => I64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_do_not_fit_go_to_the_area() {
        let few = FuncType::new([], [ValType::I32; 6].into_iter().chain([ValType::F64; 6]));
        let few = WasmSignature::new(&few);
        assert_eq!(
            (few.area, few.clif.params.len(), few.clif.returns.len()),
            (0, 1, 12)
        );

        let many = FuncType::new([ValType::V128], [ValType::I64, ValType::F32].repeat(10));
        let many = WasmSignature::new(&many);
        assert_eq!((many.area, many.clif.params.len()), (8 * 16, 3));
        assert_eq!(many.clif.returns.len(), 12);
        assert_eq!(many.results[11].1, ResultPlace::Register);
        assert_eq!(many.results[12].1, ResultPlace::Area(0));
        assert_eq!(many.results[19].1, ResultPlace::Area(7 * 16));
    }
}
