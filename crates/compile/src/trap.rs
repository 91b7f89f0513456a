//! Helve's traps as Cranelift's trap codes, and back.
//!
//! Our own codes are used as they stand. Cranelift reserves five for the traps that its
//! instructions raise by themselves (division, float conversion, stack check).

use cranelift_codegen::ir::TrapCode;
use helve_base::Trap;

/// The code that stands for `trap` in CLIF.
pub(crate) const fn trap_code(trap: Trap) -> TrapCode {
    TrapCode::unwrap_user(trap.code())
}

/// The trap that a code in finished code stands for.
pub(crate) fn trap_of(code: TrapCode) -> Option<Trap> {
    match code {
        TrapCode::STACK_OVERFLOW => Some(Trap::StackOverflow),
        TrapCode::INTEGER_OVERFLOW => Some(Trap::IntegerOverflow),
        TrapCode::HEAP_OUT_OF_BOUNDS => Some(Trap::MemoryOutOfBounds),
        TrapCode::INTEGER_DIVISION_BY_ZERO => Some(Trap::IntegerDivisionByZero),
        TrapCode::BAD_CONVERSION_TO_INTEGER => Some(Trap::InvalidConversionToInteger),
        other => Trap::from_code(other.as_raw().get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_and_every_code_of_cranelift_has_its_counterpart() {
        for &trap in Trap::ALL {
            assert_eq!(trap_of(trap_code(trap)), Some(trap));
        }
        for &code in TrapCode::non_user_traps() {
            assert!(trap_of(code).is_some(), "{code}");
        }
    }
}
