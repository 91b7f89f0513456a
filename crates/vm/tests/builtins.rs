//! The built-ins, called as compiled code calls them, on instances without code.
//!
//! # Safety
//!
//! See `guest`; the built-ins get contexts and indices of the instances made here.
#![cfg(target_arch = "x86_64")]

mod guest;

use guest::*;
use helve_base::builtin::Builtin;
use helve_base::core_type::{MemoryType, RefType, TableType};
use helve_base::id::*;
use helve_base::vmctx::{Counts, VMOffsets, VMStoreContext};
use helve_base::{EntityRef, Trap};
use helve_vm::Limiter;
use helve_vm::instance::{Instance, InstanceParts};
use helve_vm::memory::Memory;
use helve_vm::table::Table;
use helve_vm::traps::{Exit, enter};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

const PAGE: u64 = 65536;

fn memory(pages: u64) -> Box<Memory> {
    let ty = MemoryType {
        minimum: pages,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: 16,
    };
    Memory::new(&ty, 1 << 32).unwrap()
}

fn table(elements: u64) -> Box<Table> {
    let ty = TableType {
        element: RefType::FUNCREF,
        minimum: elements,
        maximum: None,
        table64: false,
    };
    Table::new(&ty, null_mut(), 1000).unwrap()
}

fn word(n: usize) -> *mut u8 {
    std::ptr::without_provenance_mut(n)
}

/// Memory 0 and table 0 imported, memory 1 and table 1 defined.
struct Fixture {
    instance: Box<Instance>,
    _other: Box<Instance>,
}

fn instance(
    store: *mut VMStoreContext,
    imports: Option<&Instance>,
    limiter: Option<NonNull<dyn Limiter>>,
) -> Box<Instance> {
    let imported = u32::from(imports.is_some());
    let counts = Counts {
        imported_memories: imported,
        imported_tables: imported,
        defined_memories: 1,
        defined_tables: 1,
        defined_globals: 2,
        defined_tags: 1,
        func_refs: 3,
        ..Counts::default()
    };
    let parts = InstanceParts {
        offsets: VMOffsets::new(counts),
        store,
        slots: std::ptr::null(),
        type_ids: std::ptr::null(),
        memories: vec![memory(1).into()],
        tables: vec![table(8)],
        tags: vec![77],
        data_bytes: Arc::from(*b"..hello.."),
        data: vec![2..7, 0..0],
        limiter,
        keep: Arc::new(()),
        lazy: None,
    };
    // SAFETY: no code runs that would use the null tables.
    let instance = unsafe { Instance::new(parts) }.unwrap();
    if let Some(other) = imports {
        // SAFETY: the fixture keeps the other one.
        unsafe {
            instance.set_imported_memory(MemoryIndex::new(0), other.memory(MemoryIndex::new(0)));
            instance.set_imported_table(TableIndex::new(0), other.table(TableIndex::new(0)));
        }
    }
    instance.set_elems(vec![Box::from([word(1), word(2), word(3)]), Box::default()]);
    instance
}

fn fixture() -> Fixture {
    let other = instance(null_mut(), None, None);
    let instance = instance(null_mut(), Some(&other), None);
    Fixture {
        instance,
        _other: other,
    }
}

/// The routine of `builtin`, as a function of type `F`.
///
/// # Safety
///
/// `F` is its type.
unsafe fn routine<F: Copy>(builtin: Builtin) -> F {
    assert_eq!(size_of::<F>(), size_of::<usize>());
    // SAFETY: the array has every built-in; by contract.
    unsafe { std::mem::transmute_copy(&*helve_vm::builtins::array().add(builtin.index())) }
}

type Copy6 = unsafe extern "C" fn(*mut u8, u32, u32, u64, u64, u64) -> u32;
type Fill = unsafe extern "C" fn(*mut u8, u32, u64);
type Move = unsafe extern "C" fn(*mut u8, *mut u8, u64);
type Init = unsafe extern "C" fn(*mut u8, u32, u32, u64, u32, u32) -> u32;
type Drop = unsafe extern "C" fn(*mut u8, u32);
type Grow = unsafe extern "C" fn(*mut u8, u32, u64) -> u64;
type TableGrow = unsafe extern "C" fn(*mut u8, u32, u64, *mut u8) -> u64;
type TableFill = unsafe extern "C" fn(*mut u8, u32, u64, *mut u8, u64) -> u32;

/// A run that must be refused: it ends behind `len`, or wraps.
fn outside(len: u64) -> [(u64, u64); 7] {
    [
        (len, 1),
        (len + 1, 0),
        (0, len + 1),
        (1, len),
        (u64::MAX, 1),
        (1, u64::MAX),
        (u64::MAX, u64::MAX),
    ]
}

fn bytes(instance: &Instance, index: usize, at: usize, len: usize) -> Vec<u8> {
    // SAFETY: live, and nothing writes it now.
    unsafe {
        let memory = Memory::of(instance.memory(MemoryIndex::new(index)));
        let start = memory.range(at as u64, len as u64).unwrap();
        std::slice::from_raw_parts(start, len).to_vec()
    }
}

#[test]
fn memory_operations() {
    let f = fixture();
    let cx = f.instance.context();
    // SAFETY: these are their types; contexts and indices are valid.
    unsafe {
        let fill: Fill = routine(Builtin::FillBytes);
        let copy: Move = routine(Builtin::MoveBytes);
        let init: Init = routine(Builtin::MemoryInit);
        for memory in [0, 1] {
            for (at, len) in outside(PAGE) {
                if let Ok(len) = u32::try_from(len) {
                    assert_eq!(init(cx, memory, 0, at, 0, len), 1, "{at} {len}");
                }
            }
            assert_eq!(
                bytes(&f.instance, memory as usize, 0, PAGE as usize),
                vec![0; 65536]
            );
            for at in [0, PAGE] {
                assert_eq!(init(cx, memory, 1, at, 0, 0), 0);
            }
        }
        // Data, dropped and undropped.
        assert_eq!(init(cx, 0, 0, PAGE - 4, 1, 4), 0);
        assert_eq!(bytes(&f.instance, 0, 65532, 4), b"ello");
        for (from, len) in [(0, 6), (5, 1), (6, 0), (u32::MAX, 1), (1, u32::MAX)] {
            assert_eq!(init(cx, 0, 0, 0, from, len), 1, "{from} {len}");
        }
        routine::<Drop>(Builtin::DataDrop)(cx, 0);
        assert_eq!(init(cx, 0, 0, 0, 0, 0), 0);
        assert_eq!(init(cx, 0, 0, 0, 0, 1), 1);
        // Between two memories; overlapping in one. Ranges are checked by compiled code.
        let at = |memory, at| {
            Memory::of(f.instance.memory(MemoryIndex::new(memory)))
                .base()
                .add(at)
        };
        fill(at(0, 10), 0x1ab, 3);
        copy(at(1, 20), at(0, 9), 5);
        assert_eq!(bytes(&f.instance, 1, 19, 7), [0, 0, 0xab, 0xab, 0xab, 0, 0]);
        copy(at(1, 22), at(1, 21), 4);
        assert_eq!(
            bytes(&f.instance, 1, 19, 8),
            [0, 0, 0xab, 0xab, 0xab, 0xab, 0, 0]
        );
    }
}

#[test]
fn table_operations() {
    let f = fixture();
    let cx = f.instance.context();
    let words = |index| -> Vec<usize> {
        // SAFETY: live.
        let table = unsafe { Table::of(f.instance.table(TableIndex::new(index))) };
        (0..table.len())
            .map(|i| table.get(i).unwrap().addr())
            .collect()
    };
    // SAFETY: these are their types; contexts and indices are valid.
    unsafe {
        let fill: TableFill = routine(Builtin::TableFill);
        let copy: Copy6 = routine(Builtin::TableCopy);
        let init: Init = routine(Builtin::TableInit);
        let grow: TableGrow = routine(Builtin::TableGrow);
        for (at, len) in outside(8) {
            assert_eq!(fill(cx, 0, at, word(9), len), 1, "{at} {len}");
            assert_eq!(copy(cx, 0, 1, at, 0, len), 1, "{at} {len}");
            assert_eq!(copy(cx, 1, 0, 0, at, len), 1, "{at} {len}");
            if let Ok(len) = u32::try_from(len) {
                assert_eq!(init(cx, 0, 0, at, 0, len), 1, "{at} {len}");
            }
        }
        assert_eq!(words(0), [0; 8]);
        assert_eq!(init(cx, 1, 0, 6, 1, 2), 0);
        assert_eq!(init(cx, 1, 0, 0, 1, 3), 1);
        assert_eq!(copy(cx, 0, 1, 1, 5, 3), 0);
        assert_eq!(words(0), [0, 0, 2, 3, 0, 0, 0, 0]);
        routine::<Drop>(Builtin::ElemDrop)(cx, 0);
        assert_eq!(init(cx, 1, 0, 0, 0, 1), 1);
        assert_eq!(init(cx, 1, 0, 8, 0, 0), 0);
        assert_eq!(init(cx, 1, 0, 9, 0, 0), 1);
        assert_eq!(grow(cx, 0, 2, word(5)), 8);
        assert_eq!(words(0), [0, 0, 2, 3, 0, 0, 0, 0, 5, 5]);
        assert_eq!(grow(cx, 0, 991, word(5)), u64::MAX);
        assert_eq!(grow(cx, 0, u64::MAX, word(5)), u64::MAX);
        assert_eq!(grow(cx, 0, 0, null_mut()), 10);
    }
}

#[test]
fn memory_grow_and_places() {
    let f = fixture();
    let cx = f.instance.context();
    // SAFETY: this is its type; contexts and indices are valid.
    unsafe {
        let grow: Grow = routine(Builtin::MemoryGrow);
        assert_eq!(grow(cx, 0, 2), 1);
        assert_eq!(grow(cx, 0, 65536), u64::MAX);
        assert_eq!(grow(cx, 0, u64::MAX), u64::MAX);
        assert_eq!(grow(cx, 0, 0), 3);
        assert_eq!((*f._other.memory(MemoryIndex::new(0))).len as u64, 3 * PAGE);
        assert_eq!((*f.instance.tag(TagIndex::new(0))).type_id, 77);
        let refs = [0, 1, 2].map(|i| f.instance.func_ref(FuncRefIndex::new(i)).addr());
        assert!(refs[2] + 24 <= cx.addr() + f.instance.offsets().size() as usize);
        let globals = [0, 1].map(|i| f.instance.global(GlobalIndex::new(i)).addr());
        assert!(globals[0] % 16 == 0 && globals[1] == globals[0] + 16);
    }
}

struct Picky;
impl Limiter for Picky {
    fn memory_growing(&mut self, current: u64, desired: u64, _: Option<u64>) -> bool {
        match (desired - current) / PAGE {
            1 => true,
            2 => false,
            n => std::panic::resume_unwind(Box::new(n)),
        }
    }
    fn table_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> bool {
        true
    }
}

#[test]
fn a_limiters_panic_resumes_outside() {
    let guest = Guest::plain();
    let mut limiter = Picky;
    let limiter: NonNull<dyn Limiter> = NonNull::from(&mut limiter);
    let instance = instance(guest.store_ptr(), None, Some(limiter));
    // (pages, what memory.grow returned)
    for (pages, returned) in [(1, 1), (2, -1), (3, -1), (1, 2)] {
        let mut args = [int(pages)];
        // SAFETY: the function calls `memory_grow` of the context's built-ins.
        let result = unsafe {
            let code = address(At::helve_test_builtin);
            enter(
                guest.store_ptr(),
                entry(),
                code,
                instance.context(),
                args.as_mut_ptr(),
            )
        };
        assert_eq!(as_int(args[0]), returned);
        match result {
            Ok(()) => assert_ne!(pages, 3),
            Err(Exit::Panic(panic)) => assert_eq!(panic.downcast_ref::<u64>(), Some(&3)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        trap_of(guest.enter(At::helve_test_unreachable, &mut [])).0,
        Trap::Unreachable
    );
}

#[test]
fn segments_outside_of_the_module_are_errors() {
    let parts = InstanceParts {
        offsets: VMOffsets::new(Counts::default()),
        store: null_mut(),
        slots: std::ptr::null(),
        type_ids: std::ptr::null(),
        memories: Vec::new(),
        tables: Vec::new(),
        tags: Vec::new(),
        data_bytes: Arc::from(*b"abc"),
        data: vec![0..1, 1..4],
        limiter: None,
        keep: Arc::new(()),
        lazy: None,
    };
    // SAFETY: no code runs.
    assert!(unsafe { Instance::new(parts) }.is_err());
}
