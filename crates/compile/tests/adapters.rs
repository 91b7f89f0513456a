//! Adapters compile, under Cranelift's verifier, for every type and every pairing of
//! options, and their code stays linear in the types' graph.
//!
//! Types are made at random, reproducibly. Not here: what adapters do when they run, which
//! the tests of `helve` compare with calls by way of the host.

use helve_abi::ResourceTypeId;
use helve_abi::layout::PointerWidth;
use helve_abi::options::StringEncoding;
use helve_abi::types::{FuncTypeId, InterfaceType, Types};
use helve_base::Trap;
use helve_compile::component::{AdapterShape, ContextSlots, LiftAbi, SideShape, Tasks};
use helve_compile::{Compiler, CompilerOptions};

fn compiler() -> Compiler {
    let options = CompilerOptions {
        verifier: true,
        ..CompilerOptions::quick()
    };
    Compiler::new(&options).expect("a compiler for this machine")
}

fn side(width: PointerWidth, encoding: StringEncoding, context: bool) -> SideShape {
    SideShape {
        width,
        encoding,
        context,
    }
}

fn plain(ty: FuncTypeId) -> AdapterShape {
    let side = side(PointerWidth::P32, StringEncoding::Utf8, false);
    AdapterShape {
        ty,
        caller: side,
        callee: side,
        entering: 0,
        post_return: false,
        slots: ContextSlots::Unused,
        defines: 0,
        caller_async: false,
        abi: LiftAbi::Sync,
        tasks: Tasks::Unseen,
        gate: false,
    }
}

/// A function of type `(params) -> result`.
fn func(types: &mut Types, params: &[InterfaceType], result: Option<InterfaceType>) -> FuncTypeId {
    let params = params.iter().enumerate();
    let params = params.map(|(i, &ty)| (format!("p{i}"), ty));
    types.func(params, result, false).expect("a valid type")
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn ty(&mut self, types: &mut Types, depth: u32, borrows: bool) -> InterfaceType {
        use InterfaceType::*;
        let scalars = [
            Bool,
            S8,
            U8,
            S16,
            U16,
            S32,
            U32,
            S64,
            U64,
            F32,
            F64,
            Char,
            String,
            String,
            Own(ResourceTypeId::from_u32(3)),
        ];
        let kind = if depth == 0 { 0 } else { self.next(12) };
        let made = match kind {
            0 | 1 => {
                let i = self.next(scalars.len() as u64 + u64::from(borrows));
                let borrow = Borrow(ResourceTypeId::from_u32(4));
                return scalars.get(i as usize).copied().unwrap_or(borrow);
            }
            2 => {
                let count = 1 + self.next(40) as u32;
                types.flags((0..count.min(32)).map(|i| format!("l{i}")))
            }
            3 => {
                let count = 1 + self.next(300) as u32;
                types.enum_((0..count).map(|i| format!("c{i}")))
            }
            4 => {
                let element = self.ty(types, depth - 1, borrows);
                types.list(element)
            }
            5 => {
                let element = self.ty(types, depth - 1, borrows);
                types.fixed_list(element, 1 + self.next(20) as u32)
            }
            6 => {
                let some = self.ty(types, depth - 1, borrows);
                types.option(some)
            }
            7 => {
                let ok = (self.next(4) > 0).then(|| self.ty(types, depth - 1, borrows));
                let err = (self.next(4) > 0).then(|| self.ty(types, depth - 1, borrows));
                types.result(ok, err)
            }
            8 | 9 => {
                let most = if self.next(4) == 0 { 12 } else { 4 };
                let count = 1 + self.next(most);
                let cases: Vec<_> = (0..count)
                    .map(|i| {
                        let ty = (self.next(5) > 0).then(|| self.ty(types, depth - 1, borrows));
                        (format!("c{i}"), ty)
                    })
                    .collect();
                types.variant(cases)
            }
            _ => {
                let most = if self.next(4) == 0 { 24 } else { 4 };
                let count = 1 + self.next(most);
                let parts: Vec<_> = (0..count)
                    .map(|_| self.ty(types, depth - 1, borrows))
                    .collect();
                types.tuple(parts)
            }
        };
        made.expect("a type within its limits")
    }
}

#[test]
fn random_types_in_every_pairing_of_options() {
    use PointerWidth::*;
    use StringEncoding::*;
    let compiler = compiler();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (widths, encodings) = ([P32, P32, P64], [Utf8, Utf16, Latin1OrUtf16]);
    let slots = [
        ContextSlots::Unused,
        ContextSlots::Zeroed,
        ContextSlots::Saved,
    ];
    let kinds = [
        (LiftAbi::Sync, Tasks::Unseen),
        (LiftAbi::Sync, Tasks::Noted),
        (LiftAbi::Sync, Tasks::Moved),
        (LiftAbi::Callback, Tasks::Noted),
        (LiftAbi::Callback, Tasks::Moved),
        (LiftAbi::Stackful, Tasks::Moved),
    ];
    let mut subprograms = 0;
    for round in 0..300 {
        let mut types = Types::default();
        let params: Vec<_> = (0..random.next(4))
            .map(|_| random.ty(&mut types, 3, true))
            .collect();
        let result = (random.next(3) > 0).then(|| random.ty(&mut types, 3, false));
        let ty = func(&mut types, &params, result);
        let mut one = || {
            let width = widths[random.next(3) as usize];
            let encoding = encodings[random.next(3) as usize];
            side(width, encoding, random.next(3) == 0)
        };
        let (caller, callee) = (one(), one());
        // Only what returns its result can be lent something by an adapter.
        let lends = params.iter().any(|&ty| types.contains_borrow(ty));
        let (abi, tasks) = kinds[random.next(if lends { 2 } else { 6 }) as usize];
        let shape = AdapterShape {
            ty,
            caller,
            callee,
            entering: random.next(3) as u32,
            post_return: random.next(2) == 0,
            slots: slots[random.next(3) as usize],
            defines: random.next(16) as u32,
            caller_async: random.next(2) == 0,
            abi,
            tasks,
            gate: random.next(2) == 0,
        };
        let compiled = compiler.compile_adapters(&types, &[shape]);
        let compiled = compiled.unwrap_or_else(|error| {
            panic!(
                "round {round}: {}: {shape:?} {error:#}",
                types.display_func(ty)
            )
        });
        assert_eq!(compiled.adapters().count(), shape.pieces().len());
        subprograms += compiled.subprograms().count();
    }
    assert!(
        subprograms > 50,
        "only {subprograms} subprograms: too simple a test"
    );
}

#[test]
fn numbers_take_no_call_and_no_check_but_the_flags() {
    let mut types = Types::default();
    let u32 = InterfaceType::U32;
    let ty = func(&mut types, &[u32, u32], Some(u32));
    let compiled = compiler().compile_adapters(&types, &[plain(ty)]);
    let compiled = compiled.expect("compiles");
    let traps: Vec<Trap> = compiled.code.traps.iter().map(|&(_, trap)| trap).collect();
    assert_eq!(compiled.subprograms().count(), 0);
    assert!(traps.contains(&Trap::CannotLeaveComponent));
    assert!(!traps.contains(&Trap::CannotEnterComponent));
    assert!(
        compiled.code.image.len() < 200,
        "{} bytes",
        compiled.code.image.len()
    );
}

#[test]
fn types_with_huge_trees_have_small_code() {
    let mut types = Types::default();
    // Each level holds the one below twice: 2^40 leaves.
    let mut ty = InterfaceType::String;
    for level in 0..40 {
        ty = match level % 3 {
            0 => types.tuple([ty, ty]),
            1 => types.variant([("a".to_owned(), Some(ty)), ("b".to_owned(), Some(ty))]),
            _ => types.result(Some(ty), Some(ty)),
        }
        .expect("a type within its limits");
    }
    let list = types.list(ty).expect("a type within its limits");
    let by_list = func(&mut types, &[list], Some(ty));

    // Core values, up to the 16 that parameters may be: levels of two different payloads.
    let mut flat = InterfaceType::U8;
    for level in 0..15 {
        let other = if level == 0 {
            InterfaceType::Char
        } else {
            types.tuple([flat]).expect("a type")
        };
        let cases = [("a".to_owned(), Some(flat)), ("b".to_owned(), Some(other))];
        flat = types.variant(cases).expect("a type");
    }
    let by_lanes = func(&mut types, &[flat], None);

    let compiled = compiler().compile_adapters(&types, &[plain(by_list), plain(by_lanes)]);
    let compiled = compiled.expect("compiles");
    let size = compiled.code.image.len();
    assert!(size < 200_000, "{size} bytes");
    assert!(compiled.subprograms().count() > 5);
}

#[test]
fn ends_and_error_contexts_are_moved_by_a_routine() {
    let mut types = Types::default();
    let stream = types.stream(Some(InterfaceType::U8)).expect("a type");
    let future = types.future(None).expect("a type");
    let context = InterfaceType::ErrorContext;
    let both = types.tuple([stream, context]).expect("a type");
    let list = types.list(both).expect("a type");
    let ty = func(&mut types, &[stream, future, list], Some(context));
    let compiled = compiler().compile_adapters(&types, &[plain(ty)]);
    assert_eq!(compiled.expect("compiles").adapters().count(), 1);
}

#[test]
fn built_ins_of_tasks_compile() {
    use helve_base::core_type::{FuncType, ValType};
    let compiler = compiler();
    for params in [vec![], vec![ValType::I32], vec![ValType::F64; 16]] {
        let ty = FuncType::new(params, []);
        compiler.task_return_builtin(&ty).expect("compiles");
    }
    for set in [false, true] {
        for wide in [false, true] {
            compiler.context_builtin(set, wide, 1).expect("compiles");
        }
    }
}
