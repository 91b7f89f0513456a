//! Compiled code as one run of bytes: an artifact, to be kept in a file.
//!
//! ```text
//!    0  magic            8 bytes, neither wasm nor text
//!    8  format version   u32
//!   12  fingerprint      u32: its length in bytes
//!   16  file length      u64
//!   24  parts            u32: how many
//!   28  zero             u32
//!   32  part table       parts x { kind u32, number u32, offset u64, length u64 }
//!       fingerprint      text: who made it, for what machine, with which settings
//!       parts            each at a multiple of its alignment (machine code: of 4096)
//!  -32  hash             BLAKE3 of all the bytes before it
//! ```
//!
//! Numbers are little-endian. What is checked, in this order: magic, version, length,
//! hash, fingerprint. So a file that was cut short or changed is told apart from one that
//! another build made. The hash finds accidents, not forgers: who may write the
//! file may write a hash too, and code in it is run as it stands.
//!
//! Not here: what a component's parts are (helve), executable memory (the VM's).

use crate::artifact::{CompiledModule, FunctionRange};
use crate::bytes::Bytes;
use helve_base::id::DefinedFuncIndex;
use helve_base::{Handler, PrimaryMap, Trap};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

/// The first bytes of every artifact. As in PNG, the line end shows transfers in text
/// mode, and the first byte that it is no text.
pub const MAGIC: [u8; 8] = *b"\x7fhelve\r\n";

/// Raised with every change of the layout.
const VERSION: u32 = 2;

const HEADER: usize = 32;
const ENTRY: usize = 24;
const HASH: usize = 32;

/// What machine code's place in the file is a multiple of: then it can be mapped.
const PAGE: usize = 4096;

/// What a part of an artifact is. Its number says which of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Part {
    /// The wasm file that was compiled, as it was.
    Source = 1,
    /// The machine code of one module.
    Code = 2,
    /// Where its functions are in that: [`FunctionRange`]s.
    Functions = 3,
    /// What its instructions trap with.
    Traps = 4,
    /// Which wasm instructions it came from.
    Locations = 5,
    /// Where exceptions are caught.
    Handlers = 6,
}

/// Why an artifact was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The bytes are something else.
    NotAnArtifact,
    /// The layout is of another version.
    Version(u32),
    /// There are less or more bytes than there were: what it says, what there are.
    Length(u64, u64),
    /// Bytes have changed.
    Corrupted,
    /// It was made by another build, for another machine or with other settings; one line
    /// for each difference.
    Foreign(Vec<String>),
    /// The hash is right, the content makes no sense.
    Malformed(&'static str),
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArtifactError::NotAnArtifact => {
                return f.write_str("not compiled by Helve: its first bytes are others");
            }
            ArtifactError::Version(found) => write!(
                f,
                "compiled code of format {found}, this Helve reads {VERSION}"
            )?,
            ArtifactError::Length(says, are) => {
                let how = if are < says {
                    "cut short"
                } else {
                    "followed by something else"
                };
                write!(
                    f,
                    "compiled code that is {how}: {are} bytes instead of {says}"
                )?;
            }
            ArtifactError::Corrupted => {
                f.write_str("compiled code that has been changed: its hash does not match")?
            }
            ArtifactError::Foreign(differences) => {
                write!(
                    f,
                    "compiled code that does not fit this Helve ({})",
                    differences.join("; ")
                )?;
            }
            ArtifactError::Malformed(what) => {
                write!(f, "compiled code that makes no sense: {what}")?
            }
        }
        f.write_str("; compile it again")
    }
}

impl std::error::Error for ArtifactError {}

type Result<T> = std::result::Result<T, ArtifactError>;

/// Puts an artifact together.
#[derive(Debug, Default)]
pub struct ArtifactBuilder {
    parts: Vec<(Part, u32, Vec<u8>)>,
}

impl ArtifactBuilder {
    /// One without parts.
    pub fn new() -> ArtifactBuilder {
        ArtifactBuilder::default()
    }

    /// Adds a part.
    pub fn part(&mut self, part: Part, number: u32, bytes: Vec<u8>) -> &mut ArtifactBuilder {
        self.parts.push((part, number, bytes));
        self
    }

    /// Adds the parts that a compiled module consists of. `traps`, `handlers` and
    /// `locations` are sorted.
    pub fn module(
        &mut self,
        number: u32,
        image: &[u8],
        functions: &PrimaryMap<DefinedFuncIndex, FunctionRange>,
        traps: &[(u32, Trap)],
        handlers: &[Handler],
        locations: &Locations,
    ) -> &mut ArtifactBuilder {
        let ranges = functions
            .values()
            .flat_map(|range| [range.start, range.len]);
        self.part(Part::Code, number, image.to_vec())
            .part(
                Part::Functions,
                number,
                ranges.flat_map(u32::to_le_bytes).collect(),
            )
            .part(Part::Traps, number, encode_traps(traps))
            .part(Part::Handlers, number, encode_handlers(handlers))
            .part(Part::Locations, number, encode_locations(locations.all()))
    }

    /// The artifact.
    pub fn finish(&self, fingerprint: &str) -> Vec<u8> {
        let mut at = HEADER + self.parts.len() * ENTRY + fingerprint.len();
        let mut places = Vec::with_capacity(self.parts.len());
        for (part, _, bytes) in &self.parts {
            at = at.next_multiple_of(if *part == Part::Code { PAGE } else { 8 });
            places.push(at);
            at += bytes.len();
        }
        let mut out = Vec::with_capacity(at + HASH);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(fingerprint.len() as u32).to_le_bytes());
        out.extend_from_slice(&((at + HASH) as u64).to_le_bytes());
        out.extend_from_slice(&(self.parts.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for ((part, number, bytes), place) in self.parts.iter().zip(&places) {
            out.extend_from_slice(&(*part as u32).to_le_bytes());
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&(*place as u64).to_le_bytes());
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        }
        out.extend_from_slice(fingerprint.as_bytes());
        for ((_, _, bytes), place) in self.parts.iter().zip(&places) {
            out.resize(*place, 0);
            out.extend_from_slice(bytes);
        }
        let hash = hash(&out);
        out.extend_from_slice(&hash);
        out
    }
}

/// An artifact.
#[derive(Clone, Debug)]
pub struct Artifact {
    bytes: Bytes,
    made_by: String,
    parts: HashMap<(u32, u32), Range<usize>>,
}

impl Artifact {
    /// Whether bytes start as an artifact does.
    pub fn looks_like(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// An artifact whose hash and fingerprint are right.
    ///
    /// # Errors
    ///
    /// Where the bytes are not what a builder with the same fingerprint made.
    pub fn open(bytes: Bytes, fingerprint: &str) -> Result<Artifact> {
        let artifact = Artifact::unverified(bytes)?;
        artifact.verify()?;
        artifact.made_for(fingerprint)?;
        Ok(artifact)
    }

    /// An artifact of any fingerprint that may have been damaged: its code must not run
    /// before the other two checks.
    ///
    /// # Errors
    ///
    /// Where the bytes are no artifact, or one that is cut short.
    pub fn unverified(bytes: Bytes) -> Result<Artifact> {
        let artifact = Artifact::parse(&bytes);
        match artifact {
            // A table that makes no sense is most likely a damaged one.
            Err(ArtifactError::Malformed(_)) => verify(&bytes).and(artifact),
            other => other,
        }
    }

    fn parse(bytes: &Bytes) -> Result<Artifact> {
        if !Artifact::looks_like(bytes) {
            // The beginning of the magic alone is a file that was cut off very early.
            let cut = !bytes.is_empty() && MAGIC.starts_with(bytes);
            return Err(match cut {
                true => length(HEADER, bytes),
                false => ArtifactError::NotAnArtifact,
            });
        }
        let word = |at| read_u32(bytes, at).ok_or_else(|| length(HEADER + HASH, bytes));
        let version = word(8)?;
        if version != VERSION {
            return Err(ArtifactError::Version(version));
        }
        let (fingerprint_len, parts) = (word(12)? as usize, word(24)? as usize);
        let says = read_u64(bytes, 16).ok_or_else(|| length(HEADER + HASH, bytes))?;
        if says != bytes.len() as u64 {
            return Err(ArtifactError::Length(says, bytes.len() as u64));
        }
        let table_end = parts
            .checked_mul(ENTRY)
            .and_then(|len| len.checked_add(HEADER));
        let table_end = table_end.ok_or(ArtifactError::Malformed("the number of parts"))?;
        let made_by = table_end
            .checked_add(fingerprint_len)
            .and_then(|end| bytes.get(table_end..end));
        let made_by = made_by.ok_or(ArtifactError::Malformed("the fingerprint's length"))?;
        let table = bytes.get(HEADER..table_end).unwrap_or_default();
        let parts = table
            .chunks_exact(ENTRY)
            .map(|entry| read_entry(entry, bytes.len()))
            .collect::<Option<_>>();
        Ok(Artifact {
            made_by: String::from_utf8_lossy(made_by).into_owned(),
            parts: parts.ok_or(ArtifactError::Malformed("a part outside of the file"))?,
            bytes: bytes.clone(),
        })
    }

    /// Checks the hash.
    pub fn verify(&self) -> Result<()> {
        verify(&self.bytes)
    }

    /// Checks the fingerprint.
    pub fn made_for(&self, fingerprint: &str) -> Result<()> {
        compare(&self.made_by, fingerprint)
    }

    /// The fingerprint.
    pub fn made_by(&self) -> &str {
        &self.made_by
    }

    /// The wasm file that was compiled.
    pub fn source(&self) -> Result<&[u8]> {
        let source = self.find(Part::Source, 0);
        let source = source.and_then(|range| self.bytes.get(range));
        source.ok_or(ArtifactError::Malformed("no source"))
    }

    /// Where a part is, if there is such a one.
    pub fn find(&self, part: Part, number: u32) -> Option<Range<usize>> {
        self.parts.get(&(part as u32, number)).cloned()
    }

    fn part(&self, part: Part, number: u32) -> Result<Bytes> {
        let found = self
            .find(part, number)
            .and_then(|range| self.bytes.slice(range));
        found.ok_or(ArtifactError::Malformed("a part is missing"))
    }

    /// The compiled module with this number.
    pub fn module(&self, number: u32) -> Result<StoredModule> {
        let code = self.part(Part::Code, number)?;
        let functions = decode_functions(&self.part(Part::Functions, number)?, code.len())?;
        let traps = decode_traps(&self.part(Part::Traps, number)?, code.len())?;
        let handlers = decode_handlers(&self.part(Part::Handlers, number)?, code.len())?;
        let locations = Locations {
            packed: Some(self.part(Part::Locations, number)?),
            all: OnceLock::new(),
        };
        Ok(StoredModule {
            code,
            functions,
            traps,
            handlers,
            locations,
        })
    }
}

/// A compiled module out of an artifact.
#[derive(Debug)]
pub struct StoredModule {
    /// The code.
    pub code: Bytes,
    /// Where each function is in it.
    pub functions: PrimaryMap<DefinedFuncIndex, FunctionRange>,
    /// (offset in the code of an instruction that may trap, why), sorted.
    pub traps: Vec<(u32, Trap)>,
    /// Calls that exceptions are caught from, sorted by return address.
    pub handlers: Vec<Handler>,
    /// Which wasm instructions it came from.
    pub locations: Locations,
}

/// Which wasm instruction an offset in code belongs to. Unpacked when first asked: only
/// backtraces want to know.
#[derive(Debug, Default)]
pub struct Locations {
    packed: Option<Bytes>,
    all: OnceLock<Box<[(u32, u32)]>>,
}

impl Locations {
    /// The offset in the wasm module of the instruction that may trap at `offset`, or
    /// whose call returns to `offset`.
    pub fn at(&self, offset: u32) -> Option<u32> {
        let all = self.all();
        let i = all.binary_search_by_key(&offset, |&(at, _)| at).ok()?;
        all.get(i).map(|&(_, wasm)| wasm)
    }

    /// All of them, sorted by offset.
    pub fn all(&self) -> &[(u32, u32)] {
        let unpack = || {
            self.packed
                .as_deref()
                .map(decode_locations)
                .unwrap_or_default()
        };
        self.all.get_or_init(unpack)
    }
}

impl From<Vec<(u32, u32)>> for Locations {
    fn from(all: Vec<(u32, u32)>) -> Locations {
        Locations {
            packed: None,
            all: OnceLock::from(Box::from(all)),
        }
    }
}

impl From<&CompiledModule> for Locations {
    fn from(module: &CompiledModule) -> Locations {
        module.locations.clone().into()
    }
}

fn verify(bytes: &[u8]) -> Result<()> {
    let (content, expected) = bytes
        .split_last_chunk()
        .ok_or_else(|| length(HEADER + HASH, bytes))?;
    match hash(content) == *expected {
        true => Ok(()),
        false => Err(ArtifactError::Corrupted),
    }
}

fn hash(bytes: &[u8]) -> [u8; HASH] {
    let mut hasher = blake3::Hasher::new();
    hasher.update_rayon(bytes);
    *hasher.finalize().as_bytes()
}

fn length(least: usize, bytes: &[u8]) -> ArtifactError {
    ArtifactError::Length(least as u64, bytes.len() as u64)
}

/// Where two fingerprints differ, line by line.
fn compare(made_by: &str, ours: &str) -> Result<()> {
    if made_by == ours {
        return Ok(());
    }
    const MOST: usize = 3;
    let theirs: Vec<&str> = made_by.lines().collect();
    let mine: Vec<&str> = ours.lines().collect();
    let only = |a: &[&str], b: &[&str]| -> Vec<String> {
        a.iter()
            .filter(|line| !b.contains(line))
            .take(MOST)
            .map(|line| format!("`{line}`"))
            .collect()
    };
    let mut differences = Vec::new();
    for (who, lines) in [
        ("made for", only(&theirs, &mine)),
        ("this is", only(&mine, &theirs)),
    ] {
        if !lines.is_empty() {
            differences.push(format!("{who} {}", lines.join(", ")));
        }
    }
    if differences.is_empty() {
        differences.push("the same settings in another order".to_string());
    }
    Err(ArtifactError::Foreign(differences))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

fn read_entry(entry: &[u8], end: usize) -> Option<((u32, u32), Range<usize>)> {
    let start = usize::try_from(read_u64(entry, 8)?).ok()?;
    let stop = start.checked_add(usize::try_from(read_u64(entry, 16)?).ok()?)?;
    (stop <= end).then_some(((read_u32(entry, 0)?, read_u32(entry, 4)?), start..stop))
}

fn decode_functions(
    bytes: &[u8],
    code: usize,
) -> Result<PrimaryMap<DefinedFuncIndex, FunctionRange>> {
    let one = |pair: &[u8]| -> Option<FunctionRange> {
        let range = FunctionRange {
            start: read_u32(pair, 0)?,
            len: read_u32(pair, 4)?,
        };
        (range.start.checked_add(range.len)? as usize <= code).then_some(range)
    };
    let ranges = bytes.chunks(8).map(one).collect::<Option<_>>();
    ranges.ok_or(ArtifactError::Malformed("a function outside of the code"))
}

/// Numbers of 7 bits a byte, low ones first; the top bit says that more follow.
fn push_number(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Small numbers for small differences of either sign.
fn zigzag(from: u32, to: u32) -> u32 {
    let difference = to.wrapping_sub(from) as i32;
    ((difference << 1) ^ (difference >> 31)) as u32
}

fn unzigzag(from: u32, code: u32) -> u32 {
    from.wrapping_add((code >> 1) ^ (code & 1).wrapping_neg())
}

/// (distance from the one before, code byte).
fn encode_traps(traps: &[(u32, Trap)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(traps.len() * 2);
    let mut last = 0;
    for &(at, trap) in traps {
        push_number(&mut out, at.wrapping_sub(last));
        out.push(trap.code());
        last = at;
    }
    out
}

fn decode_traps(mut bytes: &[u8], code: usize) -> Result<Vec<(u32, Trap)>> {
    const WRONG: ArtifactError = ArtifactError::Malformed("the table of traps");
    let mut traps = Vec::with_capacity(bytes.len() / 2);
    let mut last = 0u32;
    while !bytes.is_empty() {
        let step = take_number(&mut bytes).ok_or(WRONG)?;
        let (&trap, rest) = bytes.split_first().ok_or(WRONG)?;
        bytes = rest;
        last = last
            .checked_add(step)
            .filter(|&at| (at as usize) < code)
            .ok_or(WRONG)?;
        traps.push((last, Trap::from_code(trap).ok_or(WRONG)?));
    }
    Ok(traps)
}

/// (distance from the return address before, distance to the landing, frame).
fn encode_handlers(handlers: &[Handler]) -> Vec<u8> {
    let mut out = Vec::with_capacity(handlers.len() * 4);
    let mut last = 0;
    for handler in handlers {
        push_number(&mut out, handler.returns.wrapping_sub(last));
        push_number(&mut out, zigzag(handler.returns, handler.landing));
        push_number(&mut out, handler.frame);
        last = handler.returns;
    }
    out
}

fn decode_handlers(mut bytes: &[u8], code: usize) -> Result<Vec<Handler>> {
    const WRONG: ArtifactError = ArtifactError::Malformed("the table of exception handlers");
    let mut handlers = Vec::with_capacity(bytes.len() / 4);
    let mut last = 0u32;
    let within = |at: u32| (at as usize) < code;
    while !bytes.is_empty() {
        let mut number = || take_number(&mut bytes).ok_or(WRONG);
        let (step, landing, frame) = (number()?, number()?, number()?);
        last = last.checked_add(step).ok_or(WRONG)?;
        let handler = Handler {
            returns: last,
            landing: unzigzag(last, landing),
            frame,
        };
        if !within(handler.returns) || !within(handler.landing) {
            return Err(WRONG);
        }
        handlers.push(handler);
    }
    Ok(handlers)
}

/// (distance in code, distance in wasm), each from the one before.
fn encode_locations(locations: &[(u32, u32)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(locations.len() * 3);
    let (mut last, mut last_wasm) = (0, 0);
    for &(at, wasm) in locations {
        push_number(&mut out, at.wrapping_sub(last));
        push_number(&mut out, zigzag(last_wasm, wasm));
        (last, last_wasm) = (at, wasm);
    }
    out
}

/// As many as make sense: nothing but messages depends on them.
fn decode_locations(mut bytes: &[u8]) -> Box<[(u32, u32)]> {
    let mut all = Vec::with_capacity(bytes.len() / 3);
    let (mut at, mut wasm) = (0u32, 0);
    while let (Some(step), Some(code)) = (take_number(&mut bytes), take_number(&mut bytes)) {
        let Some(next) = at.checked_add(step) else {
            break;
        };
        (at, wasm) = (next, unzigzag(wasm, code));
        all.push((at, wasm));
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "helve 1\ncpu x\nflag a";

    fn locations() -> Vec<(u32, u32)> {
        vec![(0, 9), (5, 1), (300, 70_000), (301, 2), (70_000, u32::MAX)]
    }

    fn handlers() -> Vec<Handler> {
        [(7, 90, 16), (60_000, 3, 0), (69_999, 69_999, u32::MAX)]
            .map(|(returns, landing, frame)| Handler {
                returns,
                landing,
                frame,
            })
            .into()
    }

    fn sample() -> Vec<u8> {
        let range = |start, len| FunctionRange { start, len };
        let functions = [range(0, 100), range(112, 69_000)].into_iter().collect();
        let traps = [
            (1, Trap::Unreachable),
            (200, Trap::StackOverflow),
            (69_999, Trap::MemoryOutOfBounds),
        ];
        let handlers = handlers();
        let code: Vec<u8> = (0..70_000u32).map(|i| i as u8).collect();
        let mut builder = ArtifactBuilder::new();
        builder.part(Part::Source, 0, b"\0asm".to_vec());
        builder.module(0, &code, &functions, &traps, &handlers, &locations().into());
        builder.module(1, &[], &PrimaryMap::new(), &[], &[], &Locations::default());
        builder.finish(FINGERPRINT)
    }

    fn open(bytes: &[u8]) -> Result<Artifact> {
        Artifact::open(bytes.into(), FINGERPRINT)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let bytes = sample();
        let artifact = open(&bytes).expect("opens");
        let source = artifact.find(Part::Source, 0).expect("is there");
        assert_eq!(&bytes[source], b"\0asm");
        assert_eq!(artifact.find(Part::Source, 1), None);
        let module = artifact.module(0).expect("is there");
        assert_eq!(
            artifact.find(Part::Code, 0).expect("is there").start % PAGE,
            0
        );
        assert_eq!((module.code.len(), module.code[255]), (70_000, 255));
        assert_eq!(
            module.functions[DefinedFuncIndex::from_u32(1)],
            FunctionRange {
                start: 112,
                len: 69_000
            }
        );
        assert_eq!(module.traps[2], (69_999, Trap::MemoryOutOfBounds));
        assert_eq!(module.handlers, handlers());
        assert_eq!(module.locations.all(), locations());
        assert_eq!(
            (module.locations.at(300), module.locations.at(299)),
            (Some(70_000), None)
        );
        assert!(artifact.module(1).expect("is there").functions.is_empty());
        assert_eq!(
            artifact.module(2).err(),
            Some(ArtifactError::Malformed("a part is missing"))
        );
    }

    #[test]
    fn every_cut_and_every_flip_is_refused() {
        let bytes = sample();
        for len in (0..400)
            .chain((400..bytes.len()).step_by(611))
            .chain([bytes.len() - 1])
        {
            assert!(open(&bytes[..len]).is_err(), "{len}");
        }
        assert!(open(&[&*bytes, b"x"].concat()).is_err());
        for at in (0..400)
            .chain((400..bytes.len()).step_by(199))
            .chain(bytes.len() - 40..bytes.len())
        {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(open(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn refusals_say_why() {
        let bytes = sample();
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            open(&bytes).err()
        };
        assert_eq!(open(b"\0asm").err(), Some(ArtifactError::NotAnArtifact));
        assert_eq!(open(&bytes[..5]).err(), Some(ArtifactError::Length(32, 5)));
        assert_eq!(changed(8, 9), Some(ArtifactError::Version(9)));
        assert_eq!(changed(1000, 1), Some(ArtifactError::Corrupted));
        let cut = open(&bytes[..bytes.len() - 1]).err();
        assert_eq!(
            cut,
            Some(ArtifactError::Length(
                bytes.len() as u64,
                bytes.len() as u64 - 1
            ))
        );
        let foreign =
            Artifact::open((&*bytes).into(), "helve 1\ncpu y\nflag a").expect_err("is refused");
        assert!(
            foreign
                .to_string()
                .contains("made for `cpu x`; this is `cpu y`"),
            "{foreign}"
        );
    }

    /// With the hash made right again, whatever else is wrong must not panic.
    #[test]
    fn forged_files_do_no_harm_while_they_are_read() {
        let bytes = sample();
        let end = bytes.len() - HASH;
        let mut opened = 0;
        for at in (12..260).chain(end - 60..end) {
            for to in [0, 1, 0x7f, 0xff] {
                let mut forged = bytes.clone();
                forged[at] = to;
                let hash = hash(&forged[..end]);
                forged[end..].copy_from_slice(&hash);
                if let Ok(artifact) = open(&forged) {
                    opened += 1;
                    for module in (0..2).filter_map(|i| artifact.module(i).ok()) {
                        let _ = module.locations.all();
                    }
                }
            }
        }
        assert!(opened > 100, "{opened}");
    }

    #[test]
    fn differences_of_any_size() {
        let values = [0, 1, 127, 128, 1 << 31, u32::MAX - 1, u32::MAX];
        for a in values {
            let mut bytes = Vec::new();
            push_number(&mut bytes, a);
            assert_eq!(take_number(&mut &*bytes), Some(a));
            for b in values {
                assert_eq!(unzigzag(a, zigzag(a, b)), b);
            }
        }
    }
}
