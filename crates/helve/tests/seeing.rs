//! Seeing inside: source lines in backtraces, what perf is told, coredumps.

use gimli::write::{
    Address, AttributeValue, DwarfUnit, EndianVec, LineProgram, LineString, Sections,
};
use gimli::{Encoding, Format, LineEncoding, LittleEndian};
use helve::core::{Linker, Module, TypedFunc};
use helve::{Backtrace, CompileMode, Config, Engine, ProfilingStrategy, Store};
use wasmparser::{KnownCustom, Parser, Payload};

/// A function that traps after some instructions, in a module with a memory.
const TRAPS: &str = r#"(module $app (memory 2) (global (mut i64) (i64.const 77))
    (data (i32.const 70000) "here")
    (func $deeper (param i32) (drop (i32.load (local.get 0))) (unreachable))
    (func $run (export "run") (param i32) (call $deeper (local.get 0))))"#;

fn trap(config: &Config, wasm: &[u8]) -> (Store<()>, helve::Error) {
    let engine = Engine::new(config).expect("an engine");
    let module = Module::new(&engine, wasm).expect("a module");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .expect("an instance");
    let run: TypedFunc<i32, ()> = instance.get_typed_func(&store, "run").expect("a function");
    let error = run.call(&mut store, 4).expect_err("a trap");
    (store, error)
}

/// The start of the code section's contents, and of each body.
fn places(wasm: &[u8]) -> (u64, Vec<u64>) {
    let mut found = (0, Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("a module") {
            Payload::CodeSectionStart {
                unchecked_range, ..
            } => found.0 = unchecked_range.start,
            Payload::CodeSectionEntry(body) => found.1.push(body.range().start),
            _ => {}
        }
    }
    found
}

/// `wasm` with DWARF that has each function on lines of its own: 10, 11, ... for the bytes
/// of the first, 30, 31, ... for those of the second.
fn with_dwarf(wasm: &[u8]) -> Vec<u8> {
    let encoding = Encoding {
        format: Format::Dwarf32,
        version: 4,
        address_size: 4,
    };
    let (code, bodies) = places(wasm);
    let mut unit = DwarfUnit::new(encoding);
    let folder = LineString::String(b"src".to_vec());
    let file = LineString::String(b"app.c".to_vec());
    let mut lines = LineProgram::new(
        encoding,
        LineEncoding::default(),
        folder.clone(),
        None,
        file.clone(),
        None,
    );
    let folder = lines.add_directory(folder);
    let file = lines.add_file(file, folder, None);
    let first = bodies[0] - code;
    let end = first + 40;
    lines.begin_sequence(Some(Address::Constant(first)));
    for at in 0..40 {
        let second = (bodies[1] - bodies[0]).min(at);
        let row = lines.row();
        row.address_offset = at;
        row.file = file;
        row.line = match at == second {
            true => 10 + at,
            false => 30 + at - second,
        };
        lines.generate_row();
    }
    lines.end_sequence(40);
    unit.unit.line_program = lines;
    let root = unit.unit.root();
    let root = unit.unit.get_mut(root);
    root.set(
        gimli::DW_AT_low_pc,
        AttributeValue::Address(Address::Constant(first)),
    );
    root.set(
        gimli::DW_AT_high_pc,
        AttributeValue::Address(Address::Constant(end)),
    );
    root.set(gimli::DW_AT_name, AttributeValue::String(b"app.c".to_vec()));
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    unit.write(&mut sections).expect("DWARF");
    let mut wasm = wasm.to_vec();
    let add = |id: gimli::SectionId, data: &EndianVec<LittleEndian>| -> gimli::write::Result<()> {
        if !data.slice().is_empty() {
            let section = wasm_encoder::CustomSection {
                name: id.name().into(),
                data: data.slice().into(),
            };
            wasm.push(0);
            wasm_encoder::Encode::encode(&section, &mut wasm);
        }
        Ok(())
    };
    sections.for_each(add).expect("sections");
    wasm
}

#[test]
fn backtraces_show_source_lines() {
    let wasm = wat::parse_str(TRAPS).expect("a module");
    let (_, bodies) = places(&wasm);
    let dwarf = with_dwarf(&wasm);
    for mode in [CompileMode::Ahead, CompileMode::Lazy] {
        let (_, error) = trap(Config::new().compile(mode), &dwarf);
        let trace: &Backtrace = error.downcast_ref().expect("a backtrace");
        let lines: Vec<_> = trace
            .frames()
            .iter()
            .map(|frame| {
                let symbols = frame.symbols();
                let symbol = symbols.first().unwrap_or_else(|| panic!("{trace}"));
                (symbol.file().map(str::to_owned), symbol.line())
            })
            .collect();
        let expected = trace.frames().iter().zip([10, 30]).zip(&bodies);
        let expected: Vec<_> = expected
            .map(|((frame, line), start)| {
                let at = frame.module_offset().expect("a place");
                (Some("app.c".to_owned()), Some(line + at - *start as u32))
            })
            .collect();
        assert_eq!(lines, expected, "{trace}");
        assert!(trace.to_string().contains("at app.c:"), "{trace}");
        // Without DWARF, and with broken DWARF, the rest is there.
        let mut broken = dwarf.clone();
        let from = wasm.len() + 12;
        broken[from..]
            .iter_mut()
            .step_by(3)
            .for_each(|byte| *byte ^= 0x55);
        for other in [wasm.clone(), broken] {
            if Engine::new(&Config::new())
                .and_then(|e| Module::new(&e, &other))
                .is_err()
            {
                continue;
            }
            let (_, error) = trap(Config::new().compile(mode), &other);
            let trace: &Backtrace = error.downcast_ref().expect("a backtrace");
            assert_eq!(trace.frames().len(), 2);
            assert!(trace.to_string().contains("app!deeper"), "{trace}");
        }
    }
}

#[test]
fn perf_is_told_names() {
    let map = format!("/tmp/perf-{}.map", std::process::id());
    for mode in [CompileMode::Ahead, CompileMode::Lazy] {
        let mut config = Config::new();
        config.compile(mode).profiler(ProfilingStrategy::PerfMap);
        trap(&config, TRAPS.as_bytes());
        let text = std::fs::read_to_string(&map).expect("the map");
        for name in ["app!deeper", "app!run"] {
            let line = text.lines().find(|line| line.ends_with(name));
            let line = line.unwrap_or_else(|| panic!("{name} is not in {text}"));
            let mut words = line.split(' ').map(|word| u64::from_str_radix(word, 16));
            let (at, len) = (words.next(), words.next());
            assert!(
                matches!((at, len), (Some(Ok(1..)), Some(Ok(1..)))),
                "{line}"
            );
        }
    }
    std::fs::remove_file(&map).expect("the map");
}

#[test]
fn coredumps_hold_memories_globals_and_frames() {
    let wasm = wat::parse_str(TRAPS).expect("a module");
    let (_, bodies) = places(&wasm);
    for mode in [CompileMode::Ahead, CompileMode::Lazy] {
        let (store, error) = trap(Config::new().compile(mode), &wasm);
        let dump = store.coredump("app.wasm", &error);
        let (mut data, mut pages, mut globals, mut frames) = (Vec::new(), 0, 0, Vec::new());
        for payload in Parser::new(0).parse_all(&dump) {
            match payload.expect("a dump") {
                Payload::MemorySection(section) => {
                    pages = section
                        .into_iter()
                        .map(|m| m.expect("a memory").initial)
                        .sum();
                }
                Payload::GlobalSection(section) => globals = section.count(),
                Payload::DataSection(section) => {
                    data.extend(section.into_iter().map(|d| d.expect("data").data.to_vec()));
                }
                Payload::CustomSection(section) => match section.as_known() {
                    KnownCustom::CoreDump(core) => assert_eq!(core.name, "app.wasm"),
                    KnownCustom::CoreDumpModules(core) => assert_eq!(core.modules, ["app"]),
                    KnownCustom::CoreDumpInstances(core) => assert_eq!(core.instances.len(), 1),
                    KnownCustom::CoreDumpStack(core) => frames = core.frames,
                    _ => panic!("section {}", section.name()),
                },
                _ => {}
            }
        }
        assert_eq!((pages, globals), (2, 1));
        let [page] = &data[..] else {
            panic!("{} runs of pages", data.len())
        };
        assert_eq!(page[70_000 % 4096..][..4], *b"here");
        let trace: &Backtrace = error.downcast_ref().expect("a backtrace");
        let expected: Vec<_> = trace
            .frames()
            .iter()
            .zip(&bodies)
            .map(|(frame, start)| {
                let at = frame.module_offset().expect("a place");
                (frame.func_index(), at - *start as u32)
            })
            .collect();
        let found: Vec<_> = frames
            .iter()
            .map(|frame| (frame.funcidx, frame.codeoffset))
            .collect();
        assert_eq!(found, expected);
    }
}
