//! Whole programs on Helve and on Wasmtime, in one run: time and instructions.
//!
//! ```text
//!   compute FILE...           time: interleaved runs, each engine's best and median
//!   compute --count FILE...   instructions, counted by `valgrind --tool=callgrind`
//! ```
//! Each FILE is a core module without imports whose exports of type `(i32) -> i64` are programs
//! that do more work the bigger the argument (`programs/` has some). It is made a component of
//! the same shape, compiled once by each engine, ahead, with the engine's defaults; results
//! must agree. A row is above what is allowed where it says so: 1.15 for one program, 1.05 (time)
//! or 1.02 (instructions) for the geometric mean, 1.05 for compiling.
//!
//! With COMPUTE_PERF set, `perf` learns what Helve's code is called. Not here: the border between components (`border`).

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// What a call takes at least when time is measured, and how many calls are.
const RUN: Duration = Duration::from_millis(12);
const ROUNDS: usize = 9;
/// How far the argument goes up when instructions are counted.
const COUNTED: u32 = 4;

/// A component with the module in it, its programs lifted; and their names.
fn component(module: &[u8]) -> (Vec<u8>, Vec<String>) {
    let engine = wasmtime::Engine::default();
    let parsed = wasmtime::Module::new(&engine, module).expect("a module");
    let names: Vec<String> = parsed
        .exports()
        .filter(|export| {
            export.ty().func().is_some_and(|ty| {
                ty.params().map(|ty| ty.is_i32()).eq([true])
                    && ty.results().map(|ty| ty.is_i64()).eq([true])
            })
        })
        .map(|export| export.name().to_owned())
        .collect();
    // The text format has no binary modules inside of components: one that looks alike is
    // replaced.
    let looks = names
        .iter()
        .map(|name| format!("(func (export \"{name}\") (param i32) (result i64) unreachable)"));
    let lifts = names.iter().enumerate().map(|(i, name)| {
        format!(
            "(func (export \"p{i}\") (param \"n\" u32) (result u64) (canon lift (core func $i \"{name}\")))"
        )
    });
    let text = format!(
        "(component (core module $m {}) (core instance $i (instantiate $m)) {})",
        looks.collect::<String>(),
        lifts.collect::<String>()
    );
    let like = wat::parse_str(text).expect("a component");
    let (len, start) = leb(&like[9..]);
    let mut bytes = like[..9].to_vec();
    assert_eq!(like[8], 1, "the first section is the core module");
    let mut left = module.len();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend_from_slice(module);
    bytes.extend_from_slice(&like[9 + start + len..]);
    (bytes, names)
}

/// A number of the binary format, and its length.
fn leb(bytes: &[u8]) -> (usize, usize) {
    let end = bytes
        .iter()
        .position(|byte| byte & 0x80 == 0)
        .expect("ends")
        + 1;
    let number = bytes[..end].iter().rev();
    (
        number.fold(0, |n, byte| n << 7 | usize::from(byte & 0x7f)),
        end,
    )
}

/// One engine with a component's programs.
struct Side {
    call: Box<dyn FnMut(usize, u32) -> u64>,
}

fn helve_engine() -> helve::Engine {
    let mut config = helve::Config::new();
    if std::env::var_os("COMPUTE_PERF").is_some() {
        config.profiler(helve::ProfilingStrategy::PerfMap);
    }
    helve::Engine::new(&config).expect("an engine")
}

fn helve_side(component: &[u8], programs: usize) -> Side {
    let engine = helve_engine();
    let component = helve::component::Component::from_binary(&engine, component);
    helve_programs(&engine, &component.expect("compiles"), programs)
}

fn helve_programs(
    engine: &helve::Engine,
    component: &helve::component::Component,
    programs: usize,
) -> Side {
    use helve::component::Linker;
    let mut store = helve::Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, component);
    let instance = instance.expect("an instance");
    let funcs: Vec<_> = (0..programs)
        .map(|i| {
            let func = instance.get_typed_func::<(u32,), (u64,)>(&mut store, &format!("p{i}"));
            func.expect("a program")
        })
        .collect();
    let call = move |i: usize, n| funcs[i].call(&mut store, (n,)).expect("no trap").0;
    Side {
        call: Box::new(call),
    }
}

fn wasmtime_side(component: &[u8], programs: usize) -> Side {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::from_binary(&engine, component);
    wasmtime_programs(&engine, &component.expect("compiles"), programs)
}

fn wasmtime_programs(
    engine: &wasmtime::Engine,
    component: &wasmtime::component::Component,
    programs: usize,
) -> Side {
    use wasmtime::component::Linker;
    let mut store = wasmtime::Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, component);
    let instance = instance.expect("an instance");
    let funcs: Vec<_> = (0..programs)
        .map(|i| {
            let func = instance.get_typed_func::<(u32,), (u64,)>(&mut store, &format!("p{i}"));
            func.expect("a program")
        })
        .collect();
    let call = move |i: usize, n| funcs[i].call(&mut store, (n,)).expect("no trap").0;
    Side {
        call: Box::new(call),
    }
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is a valid place for the answer.
    unsafe { libc::clock_gettime(id, &mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

fn timed<T>(id: libc::clockid_t, work: impl FnOnce() -> T) -> (T, f64) {
    let start = clock(id);
    let done = work();
    (done, (clock(id) - start).as_secs_f64())
}

/// Ratios, row by row.
#[derive(Default)]
struct Table {
    ratios: Vec<f64>,
    missed: usize,
}

impl Table {
    fn row(&mut self, name: &str, ours: f64, theirs: f64, most: f64) {
        let ratio = ours / theirs;
        let over = if ratio > most { "ABOVE" } else { "" };
        self.missed += usize::from(ratio > most);
        println!("{name:<18} {ours:>16.6} {theirs:>16.6} {ratio:>7.3} {over}");
    }

    fn program(&mut self, name: &str, ours: f64, theirs: f64) {
        self.row(name, ours, theirs, 1.15);
        self.ratios.push(ours / theirs);
    }

    fn end(mut self, most: f64) -> ExitCode {
        let logs: f64 = self.ratios.iter().map(|ratio| ratio.ln()).sum();
        let mean = (logs / self.ratios.len().max(1) as f64).exp();
        self.row("geometric mean", mean, 1.0, most);
        if self.missed > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

fn read(file: &Path) -> (Vec<u8>, Vec<String>) {
    component(&std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())))
}

fn time(files: &[PathBuf], only: Option<&str>) -> ExitCode {
    let mut table = Table::default();
    println!(
        "{:<18} {:>16} {:>16} {:>7}",
        "seconds", "helve", "wasmtime", "ratio"
    );
    for file in files {
        let (bytes, names) = read(file);
        let all = libc::CLOCK_PROCESS_CPUTIME_ID;
        let (mut ours, a) = timed(all, || helve_side(&bytes, names.len()));
        let (mut theirs, b) = timed(all, || wasmtime_side(&bytes, names.len()));
        let (_, again) = timed(all, || helve_side(&bytes, names.len()));
        let (_, others) = timed(all, || wasmtime_side(&bytes, names.len()));
        table.row("(compiling)", a.min(again), b.min(others), 1.05);
        for (i, name) in names.iter().enumerate() {
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let (ours, theirs) = compare(i, name, &mut ours, &mut theirs);
            table.program(name, ours, theirs);
        }
    }
    table.end(1.05)
}

/// The best time of each for one program.
fn compare(i: usize, name: &str, ours: &mut Side, theirs: &mut Side) -> (f64, f64) {
    let thread = libc::CLOCK_THREAD_CPUTIME_ID;
    let mut n = 1;
    loop {
        let ((found, expected), took) = timed(thread, || ((ours.call)(i, n), (theirs.call)(i, n)));
        assert_eq!(found, expected, "{name}({n})");
        if took >= 2.0 * RUN.as_secs_f64() || n >= 1 << 20 {
            break;
        }
        n *= 2;
    }
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        best.0 = best.0.min(timed(thread, || (ours.call)(i, n)).1);
        best.1 = best.1.min(timed(thread, || (theirs.call)(i, n)).1);
    }
    best
}

/// What callgrind can be asked for.
#[derive(Clone, Copy)]
enum Ask {
    Dump = 0,
    Zero = 1,
    Start = 4,
    Stop = 5,
}

/// Asks Valgrind, where this process runs in it; does nothing elsewhere.
#[cfg(target_arch = "x86_64")]
fn ask(what: Ask) {
    let number = (('C' as usize) << 24) + (('T' as usize) << 16) + what as usize;
    let request = [number, 0, 0, 0, 0, 0];
    // SAFETY: the rotations add up to 128 bits: they, and the exchange of a register with
    // itself, change nothing but flags. Valgrind knows the sequence.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") request.as_ptr(), inout("rdx") 0usize => _, options(nostack),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn ask(_: Ask) {}

/// In a process of its own: compiles the component for the machine that this looks like, to
/// a file.
fn compile(engine: &str, component: &str, to: &str) {
    let bytes = std::fs::read(component).expect("the component");
    let compiled = match engine {
        "helve" => {
            let component = helve::component::Component::from_binary(&helve_engine(), &bytes);
            component.expect("compiles").serialize().expect("compiled")
        }
        _ => {
            let engine = wasmtime::Engine::default();
            let component = wasmtime::component::Component::from_binary(&engine, &bytes);
            component.expect("compiles").serialize().expect("compiled")
        }
    };
    std::fs::write(to, compiled).expect("a temporary file");
}

/// In the process that is counted: loads what was compiled, not counted, then runs each
/// program, of which callgrind writes one file.
fn child(engine: &str, compiled: &str, programs: &str) {
    let bytes = std::fs::read(compiled).expect("the compiled component");
    let programs = programs.parse().expect("a number");
    let mut side = match engine {
        "helve" => {
            let engine = helve_engine();
            // SAFETY: the bytes are what `compile` has just written.
            let component = unsafe { helve::component::Component::deserialize(&engine, &bytes) };
            helve_programs(&engine, &component.expect("loads"), programs)
        }
        _ => {
            let engine = wasmtime::Engine::default();
            // SAFETY: as above.
            let component = unsafe { wasmtime::component::Component::deserialize(&engine, &bytes) };
            wasmtime_programs(&engine, &component.expect("loads"), programs)
        }
    };
    for which in 0..programs {
        ask(Ask::Start);
        (side.call)(which, 1);
        ask(Ask::Zero);
        (side.call)(which, COUNTED);
        ask(Ask::Dump);
        ask(Ask::Stop);
    }
}

fn count(files: &[PathBuf]) -> ExitCode {
    let mut table = Table::default();
    println!(
        "{:<18} {:>16} {:>16} {:>7}",
        "instructions", "helve", "wasmtime", "ratio"
    );
    for file in files {
        let (bytes, names) = read(file);
        let [ours, theirs] = ["helve", "wasmtime"].map(|side| counted(side, &bytes, names.len()));
        for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
            table.program(name, ours, theirs);
        }
    }
    table.end(1.02)
}

/// Runs this program again, in Valgrind.
fn in_valgrind(tool: &[&str], args: &[&str]) {
    let ran = Command::new("valgrind")
        .args(tool)
        .arg("--smc-check=all-non-file")
        .arg(std::env::current_exe().expect("this program"))
        .args(args)
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
}

/// Instructions of each program on one engine. It is compiled in Valgrind too, which looks
/// like another machine, but without being counted: that would take hours.
fn counted(engine: &str, bytes: &[u8], programs: usize) -> Vec<f64> {
    let folder = std::env::temp_dir().join(format!("compute-{}-{engine}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let file = |name: &str| folder.join(name).display().to_string();
    let (component, compiled, out) = (file("component"), file("compiled"), file("counts"));
    std::fs::write(&component, bytes).expect("a temporary file");
    in_valgrind(
        &["--tool=none"],
        &["--compile", engine, &component, &compiled],
    );
    let tool = [
        "--tool=callgrind",
        "--instr-atstart=no",
        &format!("--callgrind-out-file={out}"),
    ];
    in_valgrind(
        &tool,
        &["--child", engine, &compiled, &programs.to_string()],
    );
    let total = |i: usize| {
        let profile = std::fs::read_to_string(format!("{out}.{}", i + 1));
        let profile = profile.expect("callgrind's file");
        let total = profile.lines().find_map(|line| {
            line.strip_prefix("totals: ")
                .or(line.strip_prefix("summary: "))
        });
        let total = total.and_then(|text| text.split_whitespace().next()?.parse().ok());
        total.expect("callgrind has counted")
    };
    let totals = (0..programs).map(total).collect();
    let _ = std::fs::remove_dir_all(&folder);
    totals
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = args.iter().map(String::as_str).collect();
    let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    match texts[..] {
        ["--compile", engine, component, to] => {
            compile(engine, component, to);
            ExitCode::SUCCESS
        }
        ["--child", engine, compiled, programs] => {
            child(engine, compiled, programs);
            ExitCode::SUCCESS
        }
        ["--count", ref rest @ ..] if !rest.is_empty() => count(&files(rest)),
        ["--only", name, ref rest @ ..] => time(&files(rest), Some(name)),
        [first, ..] if !first.starts_with("--") => time(&files(&texts), None),
        _ => {
            eprintln!("compute [--count | --only PROGRAM] MODULE...");
            ExitCode::from(2)
        }
    }
}
