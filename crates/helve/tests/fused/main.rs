//! Calls between components by generated adapters, against the slow way through the host.
//!
//! The same component is made twice, with `Config::fused_adapters` on and off, for types
//! made at random; both are given the same values, bytes and core values, and must answer
//! or trap alike. Not here: the official scripts (helve-wast), code (helve-compile).

mod donuts;
mod guest;
mod resources;
mod types;

use guest::Options;
use helve::component::{Component, Instance, Linker, Val};
use helve::{Config, Engine, Store};
use types::{Random, Ty};

/// The engines: generated, slow.
fn engines() -> [Engine; 2] {
    [true, false].map(|fused| {
        let mut config = Config::new();
        config
            .all_features(true)
            .verifier(true)
            .fused_adapters(fused);
        config.optimize(helve::OptLevel::None);
        Engine::new(&config).expect("an engine")
    })
}

/// A component that is instantiated anew after each trap.
struct Guest {
    engine: Engine,
    component: Component,
    live: Option<(Store<()>, Instance)>,
}

impl Guest {
    fn new(engine: &Engine, text: &str) -> Guest {
        let component =
            Component::new(engine, text).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
        Guest {
            engine: engine.clone(),
            component,
            live: None,
        }
    }

    /// The result as text, or the message of the trap.
    fn call(&mut self, mode: u32, name: &str, args: &[Val]) -> Result<String, String> {
        let (mut store, instance) = self.live.take().unwrap_or_else(|| {
            let mut store = Store::new(&self.engine, ());
            let linker = Linker::new(&self.engine);
            let instance = linker.instantiate(&mut store, &self.component);
            (store, instance.expect("instantiates"))
        });
        if mode != 0 {
            let set = instance
                .get_func(&mut store, "callee#mode")
                .expect("an export");
            set.call(&mut store, &[Val::U32(mode)], &mut [])
                .expect("sets the mode");
        }
        let func = instance.get_func(&mut store, name).expect("an export");
        let mut results = [Val::Bool(false)];
        match func.call(&mut store, args, &mut results) {
            Ok(()) => {
                if mode == 0 {
                    self.live = Some((store, instance));
                }
                Ok(format!("{:?}", results[0]))
            }
            Err(error) => {
                assert!(error.trap().is_some(), "no trap: {error:#}");
                // What failed, without where.
                let text = format!("{error:#}");
                Err(text
                    .split(": wasm backtrace")
                    .next()
                    .unwrap_or_default()
                    .to_owned())
            }
        }
    }
}

/// Both, with how often they answered and trapped.
struct Twins {
    guests: [Guest; 2],
    about: String,
    answers: u32,
    traps: u32,
}

impl Twins {
    fn new(engines: &[Engine; 2], text: &str, about: String) -> Twins {
        Twins {
            guests: [Guest::new(&engines[0], text), Guest::new(&engines[1], text)],
            about,
            answers: 0,
            traps: 0,
        }
    }

    fn agree(&mut self, mode: u32, name: &str, args: &[Val]) -> Option<String> {
        let [fused, slow] = &mut self.guests;
        let (fused, slow) = (fused.call(mode, name, args), slow.call(mode, name, args));
        assert_eq!(
            fused, slow,
            "{}\n{name}, mode {mode}, of {args:?}",
            self.about
        );
        match fused {
            Ok(answer) => {
                self.answers += 1;
                Some(answer)
            }
            Err(_) => {
                self.traps += 1;
                None
            }
        }
    }
}

const ENCODINGS: [&str; 3] = ["utf8", "utf16", "latin1+utf16"];

fn random_options(r: &mut Random, wide: bool) -> Options {
    Options {
        wide: wide && r.below(2) == 0,
        encoding: ENCODINGS[r.below(3) as usize],
    }
}

#[test]
fn random_types_and_values_arrive_as_they_were() {
    let engines = engines();
    let mut r = Random(0x1234_5678_9abc_def1);
    for round in 0..60 {
        let ty = Ty::random(&mut r, 3);
        let (from, to) = (random_options(&mut r, true), random_options(&mut r, true));
        let text = guest::component(&ty, &from, &to);
        let mut twins = Twins::new(
            &engines,
            &text,
            format!("round {round}: {ty:?}, {from:?} -> {to:?}"),
        );
        for _ in 0..12 {
            let values = Val::List((0..1 + r.below(3)).map(|_| ty.value(&mut r)).collect());
            let answer = twins.agree(0, "caller#run-f", std::slice::from_ref(&values));
            assert_eq!(answer, Some(format!("{values:?}")), "{}", twins.about);
            twins.agree(0, "caller#run-h", &[values]);
            // Where a string's encoding changes, the slow way allocates otherwise.
            if from.encoding == to.encoding || !ty.has_string() {
                let value = ty.value(&mut r);
                twins.agree(0, "caller#run-g", &[value]);
            }
        }
        assert_eq!(twins.traps, 0, "{}", twins.about);
    }
}

#[test]
fn random_bytes_and_core_values_are_answered_alike() {
    let engines = engines();
    let mut r = Random(0xfeed_beef_0bad_cafe);
    let (mut answers, mut traps) = (0, 0);
    for round in 0..60 {
        let ty = Ty::random(&mut r, 2);
        let mut from = random_options(&mut r, false);
        let to = random_options(&mut r, false);
        if ty.has_string() {
            from.encoding = to.encoding;
        }
        let text = guest::component(&ty, &from, &to);
        let mut twins = Twins::new(
            &engines,
            &text,
            format!("round {round}: {ty:?}, {from:?} -> {to:?}"),
        );
        for _ in 0..20 {
            let count = 1 + r.below(3);
            let size = u64::from(ty.layout(4).0);
            let bytes: Vec<Val> = junk(&mut r, count * size + 8)
                .into_iter()
                .map(Val::U8)
                .collect();
            twins.agree(
                0,
                "caller#raw-f",
                &[Val::List(bytes), Val::U32(count as u32)],
            );
            let lanes = (0..17).map(|_| Val::U64(word(&mut r))).collect();
            twins.agree(0, "caller#raw-g", &[Val::List(lanes)]);
        }
        answers += twins.answers;
        traps += twins.traps;
    }
    assert!(
        answers > 300 && traps > 300,
        "{answers} answers, {traps} traps: too simple a test"
    );
}

#[test]
fn reallocs_that_lie_trap_alike() {
    let engines = engines();
    let mut r = Random(0x0dd0_0dd0_0dd0_0dd1);
    let mut traps = 0;
    for round in 0..20 {
        let ty = Ty::random(&mut r, 2);
        let (from, to) = (random_options(&mut r, false), random_options(&mut r, false));
        let text = guest::component(&ty, &from, &to);
        let mut twins = Twins::new(
            &engines,
            &text,
            format!("round {round}: {ty:?}, {from:?} -> {to:?}"),
        );
        for mode in 1..4 {
            let values: Vec<Val> = (0..3).map(|_| ty.value(&mut r)).collect();
            twins.agree(mode, "caller#run-f", &[Val::List(values)]);
        }
        traps += twins.traps;
    }
    assert!(traps > 40, "{traps} traps: too simple a test");
}

/// A word of a core value or of memory: often small, often where data is.
fn word(r: &mut Random) -> u64 {
    match r.below(6) {
        0 | 1 => r.below(3),
        2 => r.below(40),
        3 => 0x10000 + r.below(64),
        4 => 0x10000 + 4 * r.below(16),
        _ => r.bits(),
    }
}

fn junk(r: &mut Random, bytes: u64) -> Vec<u8> {
    let mut junk = Vec::new();
    while (junk.len() as u64) < bytes {
        junk.extend_from_slice(&(word(r) as u32).to_le_bytes());
    }
    junk
}

#[test]
fn long_strings_end_anywhere() {
    let engines = engines();
    let mut r = Random(0x00c0_ffee_00c0_ffee);
    let utf8 = Options {
        wide: false,
        encoding: "utf8",
    };
    let text = guest::component(&Ty::Prim("string"), &utf8, &utf8);
    let mut twins = Twins::new(&engines, &text, "strings".to_owned());
    for _ in 0..30 {
        // Longer than what is copied at once, with characters of every length.
        let letter = ["a", "é", "☃", "𝄞"][r.below(4) as usize];
        let mut bytes = "a".repeat(r.below(4) as usize).into_bytes();
        while bytes.len() < 16_300 + r.below(200) as usize {
            bytes.extend_from_slice(letter.as_bytes());
        }
        let valid = String::from_utf8(bytes.clone()).expect("whole characters");
        let valid = Val::List(vec![Val::String(valid)]);
        let arrived = twins.agree(0, "caller#run-f", std::slice::from_ref(&valid));
        assert_eq!(arrived, Some(format!("{valid:?}")));
        // One byte wrong, or the end missing: a record of one string behind the bytes.
        match r.below(2) {
            0 => bytes.truncate(bytes.len() - 1),
            _ => {
                let at = r.below(bytes.len() as u64) as usize;
                bytes[at] = r.bits() as u8;
            }
        }
        let length = bytes.len() as u32;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let mut junk = Vec::new();
        junk.extend_from_slice(&(0x10000u32 + 16).to_le_bytes());
        junk.extend_from_slice(&length.to_le_bytes());
        junk.extend_from_slice(&[0; 8]);
        junk.extend_from_slice(&bytes);
        let junk = Val::List(junk.into_iter().map(Val::U8).collect());
        // A new guest, whose memory starts at the same place each time.
        twins.guests.iter_mut().for_each(|guest| guest.live = None);
        twins.agree(0, "caller#raw-f", &[junk, Val::U32(1)]);
    }
    assert!(twins.traps > 5, "{} traps: too simple a test", twins.traps);
}
