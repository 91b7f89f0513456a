//! Small modules with one odd thing each: they compile under Cranelift's verifier in both
//! tiers, with the traps they should have, and the same bytes every time.

use helve_base::Trap;
use helve_base::core_type::{FuncType, ValType};
use helve_base::error::ErrorKind;
use helve_base::id::{DefinedFuncIndex, FuncIndex};
use helve_compile::module::EntityIndex;
use helve_compile::{Compiler, CompilerOptions, Features, Translation, translate};

fn compilers() -> [Compiler; 2] {
    [CompilerOptions::default(), CompilerOptions::quick()].map(|tier| {
        Compiler::new(&CompilerOptions {
            verifier: true,
            ..tier
        })
        .expect("a compiler for the host")
    })
}

fn translation(wat: &str) -> Translation {
    let bytes = wat::parse_str(wat).expect("valid text");
    translate(bytes, Features::SUPPORTED).expect("a valid module")
}

fn compiles(wat: &str) {
    let translation = translation(wat);
    for compiler in compilers() {
        if let Err(error) = compiler.compile_module(&translation) {
            panic!("{error:?}\n{:.2000}", wat);
        }
    }
}

/// Fields of modules.
const ODD_SHAPES: &[&str] = &[
        // Code that can't run, in every kind of block.
        "(func unreachable i32.add drop)",
        "(func (result i32) (block (result i32) (br 0 (i32.const 1)) i32.add))",
        "(func (result i32) (if (result i32) (i32.const 1) (then (unreachable)) (else (unreachable))))",
        "(func (param i32) (result i32) (if (result i32) (local.get 0)
            (then (return (i32.const 2))) (else (i32.const 3))))",
        "(func (loop (br 0) (if (then (loop)) (else (block (br_table 0 1 2 (i32.const 1)))))))",
        "(func (block unreachable (block (br 1)) if nop else nop end))",
        // Parameters of blocks, loops and ifs; an `if` without `else` hands them on.
        "(func (param i32 i64) (result i64 i32) local.get 1 local.get 0
            (block (param i64 i32) (result i64 i32) (br_if 0 (i32.const 1))))",
        "(func (param i32) (result i32) local.get 0
            (if (param i32) (result i32) (local.get 0) (then (i32.add (i32.const 1)))))",
        "(func (param i32) (result i32) local.get 0
            (loop (param i32) (result i32) (i32.sub (i32.const 1)) (br_if 0 (local.get 0))))",
        "(func (param i32) (result i32) local.get 0 (loop (param i32) (result i32)
            (br 0 (i32.add (i32.const 1)))))",
        // Tables of branches with values, to one label twice, out of the function.
        "(func (param i32) (result i32) (block (result i32) (i32.const 7)
            (br_table 0 1 0 1 (local.get 0))))",
        "(func (param i32) (loop (br_table 0 0 1 0 (local.get 0))))",
        "(func (param i32) (br_table 0 (local.get 0)))",
        // Vectors through locals, blocks, select and calls, in whatever lane type.
        "(func $v (param v128 v128 i32) (result v128) (local v128)
            (local.set 3 (i32x4.add (local.get 0) (local.get 1)))
            (block (result v128) (br_if 0 (f32x4.mul (local.get 3) (local.get 1)) (local.get 2))
                drop (call $v (i64x2.neg (local.get 3)) (i8x16.splat (local.get 2)) (i32.const 0)))
            (select (i16x8.splat (local.get 2)) (f64x2.neg (local.get 0)) (local.get 2))
            v128.xor)",
        // More memories, a big offset, 64-bit ones with any offset, bulk operations.
        "(memory 1) (memory 2) (func (param i32) (result i32)
            (memory.copy 0 1 (i32.const 1) (i32.const 2) (i32.const 3))
            (i32.store 1 (local.get 0) (i32.load offset=0xffffffff (local.get 0)))
            (memory.fill 1 (i32.const 0) (i32.const 1) (memory.grow 1 (i32.const 1)))
            (memory.size 0))",
        "(memory i64 1) (data \"x\") (func (param i64) (result i64)
            (i64.store offset=0xffffffffffffffff (local.get 0) (i64.load offset=70000 (local.get 0)))
            (v128.store (local.get 0) (v128.load8_lane 3 (local.get 0) (v128.const i64x2 0 0)))
            (memory.init 0 (i64.const 1) (i32.const 2) (i32.const 3)) (data.drop 0)
            (memory.fill (i64.const 0) (i32.const 1) (memory.grow (i64.const 1)))
            (memory.copy (i64.const 0) (i64.const 1) (i64.const 1))
            (memory.size))",
        // Tables: fixed and growing, own and imported, of both kinds of references.
        "(import \"m\" \"t\" (table $t 1 funcref)) (table $f 4 4 funcref) (table $x i64 1 externref)
         (elem $e func 0) (func $g (param externref) (result i64)
            (table.set $t (i32.const 0) (table.get $f (i32.const 9)))
            (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $e)
            (table.copy $t $f (i32.const 0) (i32.const 0) (table.size $f))
            (drop (table.grow $t (ref.func $g) (table.size $t)))
            (table.fill $x (i64.const 0) (local.get 0) (i64.const 1))
            (table.grow $x (ref.null extern) (i64.const 2)))",
        // Calls of all kinds.
        "(import \"m\" \"f\" (func $i (param i32) (result i32))) (table 1 funcref)
         (type $t (func (param i32) (result i32)))
         (func $a (param i32) (result i32) (return_call $i (call $b (local.get 0))))
         (func $b (param i32) (result i32) (return_call $a (call $i (local.get 0))))
         (func $c (param i32) (result i32)
            (return_call_indirect (type $t) (call_indirect (type $t) (local.get 0) (i32.const 0))
                (i32.const 1)))",
        // Globals: own, imported, constant, of every type.
        "(import \"m\" \"g\" (global $i (mut v128))) (import \"m\" \"h\" (global $h i64))
         (global $c i32 (i32.const -1)) (global $r (mut funcref) (ref.null func))
         (global $d i64 (i64.add (global.get $h) (i64.const 1)))
         (func (result i64) (global.set $i (i32x4.splat (global.get $c)))
            (global.set $r (global.get $r)) (i64.add (global.get $d) (global.get $h)))",
        // A loop nobody leaves, a function that is empty, a start function.
        "(func $s (loop (br 0))) (func) (start $s)",
        "(func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))",
];

#[test]
fn odd_shapes_compile() {
    for shape in ODD_SHAPES {
        compiles(&format!("(module {shape})"));
    }
}

#[test]
fn big_shapes_compile_or_say_why_not() {
    let results = "i32 i64 f32 f64 v128 ".repeat(100);
    let many = format!(
        "(module (func $f (param i32) (result {results}) (return_call $f (local.get 0)))
            (func (param i32) (result {results}) (call $f (local.get 0)))
            (func (param i32) (result {results}) (local.get 0) (br_if 0 (call $f) (i32.const 1))))"
    );
    let params = "v128 ".repeat(1000);
    let gets: String = (0..1000).map(|i| format!("(local.get {i})")).collect();
    let shapes = [
        many.replace("(local.get 0) (br_if", "(br_if")
            .replace("(call $f) (i32", "(call $f (local.get 0)) (i32"),
        format!(
            "(module (func $f (param {params}) (return_call $f {gets})) (func (call $g)) (func $g))"
        ),
        format!(
            "(module (func (local {}) (drop (local.get 49000))))",
            "i64 ".repeat(49_999)
        ),
        format!(
            "(module (func {} {}))",
            "(block ".repeat(20_000),
            ")".repeat(20_000)
        ),
        format!(
            "(module (func (param i32) {} {}))",
            "(loop (br_if 0 (local.get 0))".repeat(2_000),
            ")".repeat(2_000)
        ),
        format!(
            "(module (func (param i32) (br_table {} (local.get 0))))",
            "0 ".repeat(65_000)
        ),
        format!(
            "(module (memory 1) (func {}))",
            "(i32.store (i32.const 0) (i32.load (i32.const 8)))".repeat(20_000)
        ),
    ];
    let quick = Compiler::new(&CompilerOptions::quick()).expect("a compiler for the host");
    for shape in &shapes {
        let translation = translation(shape);
        if let Err(error) = quick.compile_module(&translation) {
            assert_eq!(error.kind(), ErrorKind::Host, "{error:?}\n{shape:.200}");
            assert!(format!("{error:#}").contains("function"), "{error:#}");
        }
    }
    compiles(&shapes[0]);
}

/// (fields of a module, what it may trap with besides the end of the stack, opcode of the
/// instruction that does)
const TRAPS: &[(&str, &[Trap], u8)] = &[
    ("(func unreachable)", &[Trap::Unreachable], 0x00),
    (
        "(func (param i32 i32) (result i32) (i32.div_u (local.get 0) (local.get 1)))",
        &[Trap::IntegerDivisionByZero],
        0x6e,
    ),
    (
        "(func (param i32 i32) (result i32) (i32.rem_s (local.get 0) (local.get 1)))",
        &[Trap::IntegerDivisionByZero],
        0x6f,
    ),
    (
        "(func (param i64 i64) (result i64) (i64.div_s (local.get 0) (local.get 1)))",
        &[Trap::IntegerDivisionByZero, Trap::IntegerOverflow],
        0x7f,
    ),
    (
        "(func (param f32) (result i32) (i32.trunc_f32_u (local.get 0)))",
        &[Trap::InvalidConversionToInteger, Trap::IntegerOverflow],
        0xa9,
    ),
    (
        "(memory 1) (func (param i32) (result i64) (i64.load offset=3 (local.get 0)))",
        &[Trap::MemoryOutOfBounds],
        0x29,
    ),
    (
        "(memory i64 1) (func (param i64) (i32.store8 (local.get 0) (i32.const 1)))",
        &[Trap::MemoryOutOfBounds],
        0x3a,
    ),
    (
        "(table 1 funcref) (func (param i32) (result funcref) (table.get (local.get 0)))",
        &[Trap::TableOutOfBounds],
        0x25,
    ),
    (
        "(table 1 funcref) (func (param i32) (call_indirect (local.get 0)))",
        &[
            Trap::UndefinedElement,
            Trap::UninitializedElement,
            Trap::IndirectCallTypeMismatch,
        ],
        0x11,
    ),
    (
        "(memory 1) (func (memory.fill (i32.const 1) (i32.const 2) (i32.const 3)))",
        &[Trap::MemoryOutOfBounds],
        0xfc,
    ),
    (
        "(func (param i32) (result i32) (i32.clz (local.get 0)))",
        &[],
        0x67,
    ),
];

#[test]
fn traps_are_recorded_with_their_instruction() {
    for &(body, expected, opcode) in TRAPS {
        let translation = translation(&format!("(module {body})"));
        for compiler in compilers() {
            let compiled = compiler.compile_module(&translation).expect("compiles");
            let mut found: Vec<u8> = Vec::new();
            for &(at, trap) in &compiled.traps {
                if trap == Trap::StackOverflow {
                    continue;
                }
                let wasm = compiled.location_at(at).expect("a trap has a location");
                assert_eq!(translation.bytes()[wasm as usize], opcode, "{body}");
                assert_eq!(
                    compiled.function_at(at),
                    Some(DefinedFuncIndex::from_u32(0))
                );
                found.push(trap.code());
            }
            found.sort_unstable();
            found.dedup();
            let mut wanted: Vec<u8> = expected.iter().map(|trap| trap.code()).collect();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{body}");
        }
    }
}

#[test]
fn the_same_bytes_every_time() {
    let funcs: String = (0..300)
        .map(|i| {
            // Every other one calls: such code says where the callee is.
            let index = match i % 2 {
                0 => format!("(call {} (local.get 0))", (i * 7) % 300),
                _ => "(local.get 0)".into(),
            };
            format!("(func (param i32) (result i32) (i32.load offset={i} {index}))")
        })
        .collect();
    let translation = translation(&format!("(module (memory 1) {funcs})"));
    let compiler = Compiler::new(&CompilerOptions::default()).expect("a compiler for the host");
    let first = compiler.compile_module(&translation).expect("compiles");
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(5)
        .build()
        .expect("threads");
    let again = pool
        .install(|| compiler.compile_module(&translation))
        .expect("compiles");
    assert!(first == again, "five threads made other code than this one");
    for (func, range) in first.functions.iter().skip(1).step_by(2) {
        let one = compiler
            .compile_function(&translation, func)
            .expect("compiles");
        let part = &first.image[range.start as usize..(range.start + range.len) as usize];
        assert!(
            one.code == part,
            "{func} alone differs from {func} in its module"
        );
    }
}

#[test]
fn trampolines_compile() {
    use ValType::{F32, F64, I32, I64, V128};
    let all = [
        I32,
        I64,
        F32,
        F64,
        V128,
        ValType::Ref(helve_base::core_type::RefType::FUNCREF),
    ];
    for compiler in compilers() {
        for n in [0, 1, 2, 7, 20, 1000] {
            for m in [0, 1, 3, 16, 1000] {
                let types = |n| (0..n).map(|i| all[i % all.len()]);
                let ty = FuncType::new(types(n), types(m));
                let entry = compiler.entry_trampoline(&ty).expect("compiles");
                assert!(entry.traps.is_empty(), "an entry trampoline can't trap");
                compiler.host_trampoline(&ty).expect("compiles");
            }
        }
    }
}

#[test]
fn a_module_tells_what_it_is() {
    let translation = translation(
        "(module $m
            (import \"a\" \"f\" (func $f (param i32)))
            (import \"a\" \"g\" (global $g i32))
            (memory (export \"mem\") 1 2) (table 3 funcref)
            (elem (i32.const 0) func $two $f)
            (elem declare func $three)
            (data (offset (i32.add (global.get $g) (i32.const 4))) \"hello\")
            (func $one) (func $two) (func $three (export \"three\") (drop (ref.func $three)))
            (start $one))",
    );
    let module = translation.module();
    let func = FuncIndex::from_u32;
    assert_eq!(module.module_name.as_deref(), Some("m"));
    assert_eq!(module.names.get(func(2)), Some("two"));
    assert_eq!(module.export("three"), Some(EntityIndex::Func(func(3))));
    assert_eq!(module.export("four"), None);
    assert_eq!(module.imports[1].name, "g");
    assert_eq!(module.start, Some(func(1)));
    let referenced: Vec<_> = module.func_refs.values().copied().collect();
    assert_eq!(referenced, [func(3), func(2), func(0), func(1)]);
    assert_eq!(module.func_ref(func(0)).map(|i| i.as_u32()), Some(2));
    assert_eq!(module.counts.func_refs, 4);
    let data = module.data.values().next().expect("a segment");
    assert_eq!(&translation.bytes()[data.range.clone()], b"hello");
}

#[test]
fn features_that_are_off_are_refused() {
    let two_memories = wat::parse_str("(module (memory 1) (memory 1))").expect("valid text");
    assert!(translate(two_memories.clone(), Features::DEFAULT).is_ok());
    assert!(translate(two_memories, Features::WASM2).is_err());
    let component = wat::parse_str("(component)").expect("valid text");
    let error = translate(component, Features::DEFAULT).expect_err("not a module");
    assert!(error.to_string().contains("component"), "{error}");
    assert!(translate(&b"\0asm"[..], Features::DEFAULT).is_err());
}
