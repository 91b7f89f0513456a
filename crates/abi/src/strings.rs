//! Strings: what a pointer and a length mean, whether bytes are well-formed, and the
//! way from one encoding to another.
//!
//! ```text
//!  from \ to       utf8                   utf16               latin1+utf16
//!  utf8            copy                   2n, then shrink     n as Latin-1; at the first
//!  utf16           n while ASCII, then    copy                character above U+FF 2n as
//!                  3n, then shrink                            UTF-16; then shrink
//!  latin1          the same with 2n       widen               copy
//!  utf16 (tagged)  as utf16               copy                copy; narrow if it all fits
//! ```
//!
//! A guest sees every `realloc`, so their order and sizes are fixed; [`transcode`] is
//! that order, over whoever can call `realloc` and reach both memories. The steps are
//! plain functions over two byte slices: generated adapters call the same ones. No step
//! trusts its source to be well-formed or its target to be large enough: both live in
//! memories that a guest may write to between two steps.

use crate::error::{AbiError, Content};
use crate::layout::PointerWidth;
use crate::options::StringEncoding;

/// Most bytes of one string, and of one list, in a guest's memory.
pub const MAX_BYTES: u64 = (1 << 28) - 1;

/// How the bytes of one string are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceEncoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, little-endian.
    Utf16,
    /// Latin-1: each byte is a character.
    Latin1,
    /// UTF-16 as `latin1+utf16` holds it when the length is tagged.
    TaggedUtf16,
}

impl SourceEncoding {
    /// Bytes of a code unit.
    pub const fn unit(self) -> u32 {
        match self {
            SourceEncoding::Utf8 | SourceEncoding::Latin1 => 1,
            SourceEncoding::Utf16 | SourceEncoding::TaggedUtf16 => 2,
        }
    }
}

/// Where a string is, its bounds checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringRange {
    /// How to read it.
    pub encoding: SourceEncoding,
    /// Its first byte.
    pub ptr: u64,
    /// How many bytes.
    pub bytes: u32,
}

/// What a pointer and a (perhaps tagged) length in a memory of `memory_len` bytes mean.
/// Whether the bytes are well-formed is not known yet.
pub fn range(
    encoding: StringEncoding,
    width: PointerWidth,
    ptr: u64,
    length: u64,
    memory_len: u64,
) -> Result<StringRange, AbiError> {
    let tag = width.utf16_tag();
    let (encoding, units, align) = match encoding {
        StringEncoding::Utf8 => (SourceEncoding::Utf8, length, 1),
        StringEncoding::Utf16 => (SourceEncoding::Utf16, length, 2),
        StringEncoding::Latin1OrUtf16 if length & tag != 0 => {
            (SourceEncoding::TaggedUtf16, length ^ tag, 2)
        }
        StringEncoding::Latin1OrUtf16 => (SourceEncoding::Latin1, length, 2),
    };
    let bytes = units
        .checked_mul(encoding.unit().into())
        .filter(|bytes| *bytes <= MAX_BYTES)
        .ok_or(AbiError::TooLong(Content::String))?;
    if !ptr.is_multiple_of(align) {
        return Err(AbiError::Unaligned);
    }
    if ptr.checked_add(bytes).is_none_or(|end| end > memory_len) {
        return Err(AbiError::OutOfBounds(Content::String));
    }
    Ok(StringRange {
        encoding,
        ptr,
        bytes: bytes as u32,
    })
}

/// Checks the pointer and length of a list of elements of `size` bytes; how many bytes
/// it takes.
pub fn list_bytes(
    ptr: u64,
    length: u64,
    size: u32,
    align: u32,
    memory_len: u64,
) -> Result<u32, AbiError> {
    let bytes = length
        .checked_mul(size.into())
        .filter(|bytes| *bytes <= MAX_BYTES)
        .ok_or(AbiError::TooLong(Content::List))?;
    if !ptr.is_multiple_of(align.into()) {
        return Err(AbiError::Unaligned);
    }
    if ptr.checked_add(bytes).is_none_or(|end| end > memory_len) {
        return Err(AbiError::OutOfBounds(Content::List));
    }
    Ok(bytes as u32)
}

/// The string that these bytes are.
pub fn decode(encoding: SourceEncoding, bytes: &[u8]) -> Result<String, AbiError> {
    match encoding {
        SourceEncoding::Utf8 => utf8(bytes).map(str::to_owned),
        SourceEncoding::Latin1 => Ok(bytes.iter().map(|&byte| char::from(byte)).collect()),
        SourceEncoding::Utf16 | SourceEncoding::TaggedUtf16 => {
            let mut text = String::with_capacity(bytes.len() / 2);
            let mut at = 0;
            while let Some((c, units)) = next_utf16(bytes, at)? {
                text.push(c);
                at += units;
            }
            Ok(text)
        }
    }
}

/// Whether these bytes are a string.
pub fn validate(encoding: SourceEncoding, bytes: &[u8]) -> Result<(), AbiError> {
    match encoding {
        SourceEncoding::Utf8 => utf8(bytes).map(drop),
        SourceEncoding::Latin1 => Ok(()),
        SourceEncoding::Utf16 | SourceEncoding::TaggedUtf16 => validate_utf16(bytes),
    }
}

/// Whether every surrogate has its other half, blocks without any skipped as such.
fn validate_utf16(bytes: &[u8]) -> Result<(), AbiError> {
    let surrogate = |unit: &[u8]| unit[1] & 0xf8 == 0xd8;
    let mut at = 0;
    loop {
        let rest = bytes.get(2 * at..).unwrap_or(&[]);
        let blocks = rest.chunks_exact(2 * BLOCK);
        let plain = blocks.take_while(|block| {
            let found = block.chunks_exact(2).map(|unit| u8::from(surrogate(unit)));
            found.fold(0, |all, one| all | one) == 0
        });
        at += plain.count() * BLOCK;
        for _ in 0..BLOCK {
            let Some((_, units)) = next_utf16(bytes, at)? else {
                return Ok(());
            };
            at += units;
        }
    }
}

/// These bytes as text.
pub fn utf8(bytes: &[u8]) -> Result<&str, AbiError> {
    simdutf8::compat::from_utf8(bytes).map_err(|error| match error.error_len() {
        Some(_) => AbiError::InvalidUtf8(error.valid_up_to()),
        None => AbiError::IncompleteUtf8(error.valid_up_to()),
    })
}

/// The code unit at number `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at.checked_mul(2)?..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

/// The character at code unit `at` and how many units it takes; `None` at the end.
fn next_utf16(bytes: &[u8], at: usize) -> Result<Option<(char, usize)>, AbiError> {
    let Some(first) = unit(bytes, at) else {
        return Ok(None);
    };
    let units = [first, unit(bytes, at + 1).unwrap_or(0)];
    match char::decode_utf16(units).next() {
        Some(Ok(c)) => Ok(Some((c, c.len_utf16()))),
        _ => Err(AbiError::InvalidUtf16(at)),
    }
}

/// How far a step came: bytes read and bytes written. It stopped at the source's end, or
/// before a character that the target cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes of the source that were used up.
    pub read: usize,
    /// Bytes of the target that were filled.
    pub written: usize,
}

/// Units that are moved in one go where all of them are plain.
const BLOCK: usize = 32;

/// What a target takes unit by unit, without a look at characters.
#[derive(Clone, Copy)]
struct Plain {
    /// Units below this, a power of two.
    below: u16,
    /// Bytes that each becomes.
    width: usize,
}

/// Moves blocks of plain units from `F` bytes each to `T` bytes each: how many units.
/// It stops before the first block that is not whole, does not fit or is not plain.
fn move_blocks<const F: usize, const T: usize>(from: &[u8], to: &mut [u8], below: u16) -> usize {
    let mut moved = 0;
    let blocks = from.chunks_exact(F * BLOCK);
    for (from, to) in blocks.zip(to.chunks_exact_mut(T * BLOCK)) {
        let mut units = [0u16; BLOCK];
        for (unit, from) in units.iter_mut().zip(from.chunks_exact(F)) {
            let high = if F == 2 { from[F - 1] } else { 0 };
            *unit = u16::from_le_bytes([from[0], high]);
        }
        if units.iter().fold(0, |all, unit| all | unit) >= below {
            break;
        }
        for (unit, to) in units.iter().zip(to.chunks_exact_mut(T)) {
            to.copy_from_slice(&unit.to_le_bytes()[..T]);
        }
        moved += BLOCK;
    }
    moved
}

/// The same from bytes to bytes: only ASCII is one byte on both sides.
fn move_ascii(from: &[u8], to: &mut [u8]) -> usize {
    let blocks = from.chunks_exact(BLOCK).zip(to.chunks_exact_mut(BLOCK));
    let ascii = blocks.take_while(|(from, _)| from.is_ascii());
    ascii.map(|(from, to)| to.copy_from_slice(from)).count() * BLOCK
}

/// The same for any widths.
fn move_plain(unit: u32, from: &[u8], to: &mut [u8], plain: Plain) -> usize {
    match (unit, plain.width) {
        (1, 1) => move_ascii(from, to),
        (1, _) => move_blocks::<1, 2>(from, to, plain.below),
        (_, 1) => move_blocks::<2, 1>(from, to, plain.below),
        (_, _) => move_blocks::<2, 2>(from, to, plain.below),
    }
}

/// Runs over the characters of `from`, handing each with the rest of `to` to `put`,
/// which says how many bytes it wrote or that it cannot; blocks of plain units go first. `next` gives the character at a byte of `from`.
fn run(
    unit: u32,
    from: &[u8],
    to: &mut [u8],
    plain: Plain,
    next: impl Fn(usize) -> Result<Option<(char, usize)>, AbiError>,
    mut put: impl FnMut(char, &mut [u8]) -> Option<usize>,
) -> Result<Progress, AbiError> {
    let mut done = Progress::default();
    loop {
        let (rest, room) = (from.get(done.read..), to.get_mut(done.written..));
        let (Some(rest), Some(room)) = (rest, room) else {
            return Ok(done);
        };
        let units = move_plain(unit, rest, room, plain);
        done.read += units * unit as usize;
        done.written += units * plain.width;
        for _ in 0..BLOCK {
            let Some((c, bytes)) = next(done.read)? else {
                return Ok(done);
            };
            let room = to.get_mut(done.written..);
            let Some(written) = room.and_then(|room| put(c, room)) else {
                return Ok(done);
            };
            done.read += bytes;
            done.written += written;
        }
    }
}

/// [`run`] for a source of any encoding. `latin`: whether units from U+80 to U+FF are plain
/// for the target, too.
fn each_char(
    encoding: SourceEncoding,
    from: &[u8],
    to: &mut [u8],
    (latin, width): (bool, usize),
    put: impl FnMut(char, &mut [u8]) -> Option<usize>,
) -> Result<Progress, AbiError> {
    let latin = latin && encoding != SourceEncoding::Utf8;
    let below = if latin { 0x100 } else { 0x80 };
    let plain = Plain { below, width };
    match encoding {
        SourceEncoding::Utf8 => {
            let text = utf8(from)?;
            let next = |at| {
                let c = text.get(at..).and_then(|rest| rest.chars().next());
                Ok(c.map(|c| (c, c.len_utf8())))
            };
            run(1, from, to, plain, next, put)
        }
        SourceEncoding::Latin1 => {
            let next = |at: usize| Ok(from.get(at).map(|byte| (char::from(*byte), 1)));
            run(1, from, to, plain, next, put)
        }
        SourceEncoding::Utf16 | SourceEncoding::TaggedUtf16 => {
            let next = |at| {
                let next = next_utf16(from, at / 2)?;
                Ok(next.map(|(c, units)| (c, 2 * units)))
            };
            run(2, from, to, plain, next, put)
        }
    }
}

/// Writes as UTF-8 while it fits; with `ascii_only`, while it is ASCII.
pub fn to_utf8(
    encoding: SourceEncoding,
    from: &[u8],
    to: &mut [u8],
    ascii_only: bool,
) -> Result<Progress, AbiError> {
    each_char(encoding, from, to, (false, 1), |c, to| {
        if ascii_only && !c.is_ascii() {
            return None;
        }
        let to = to.get_mut(..c.len_utf8())?;
        Some(c.encode_utf8(to).len())
    })
}

/// Writes as UTF-16 while it fits.
pub fn to_utf16(
    encoding: SourceEncoding,
    from: &[u8],
    to: &mut [u8],
) -> Result<Progress, AbiError> {
    each_char(encoding, from, to, (true, 2), |c, to| {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units);
        let to = to.get_mut(..2 * units.len())?;
        for (to, unit) in to.chunks_exact_mut(2).zip(&*units) {
            to.copy_from_slice(&unit.to_le_bytes());
        }
        Some(2 * units.len())
    })
}

/// Writes as Latin-1 up to the first character that Latin-1 does not have.
pub fn to_latin1(
    encoding: SourceEncoding,
    from: &[u8],
    to: &mut [u8],
) -> Result<Progress, AbiError> {
    each_char(encoding, from, to, (true, 1), |c, to| {
        *to.first_mut()? = u8::try_from(c).ok()?;
        Some(1)
    })
}

/// Widens the first `bytes` bytes from Latin-1 to UTF-16 in place.
pub fn widen(text: &mut [u8], bytes: usize) {
    for at in (0..bytes.min(text.len() / 2)).rev() {
        text[2 * at] = text[at];
        text[2 * at + 1] = 0;
    }
}

/// Narrows UTF-16 to Latin-1 in place if all of it fits: how many bytes that is.
pub fn narrow(text: &mut [u8]) -> Option<usize> {
    if text.chunks_exact(2).any(|unit| unit[1] != 0) {
        return None;
    }
    let units = text.len() / 2;
    for at in 0..units {
        text[at] = text[2 * at];
    }
    Some(units)
}

/// Who transcodes: can call the target's `realloc` and reach the bytes of both sides.
pub trait Transcoder {
    /// What stops it: traps in `realloc` beside [`AbiError`]s.
    type Error: From<AbiError>;

    /// Calls the target's `realloc`; the result needs no check yet.
    fn realloc(
        &mut self,
        old: u64,
        old_bytes: u32,
        align: u32,
        bytes: u32,
    ) -> Result<u64, Self::Error>;

    /// Bytes of the target's memory, now.
    fn target_len(&mut self) -> u64;

    /// Runs `step` on the source's bytes and on `bytes` bytes of the target's memory at
    /// `ptr`, which have been checked to be there.
    fn step<R>(
        &mut self,
        ptr: u64,
        bytes: u32,
        step: impl FnOnce(&[u8], &mut [u8]) -> R,
    ) -> Result<R, Self::Error>;
}

/// Moves a string of `bytes` bytes, which [`validate`] has passed, into the target's
/// memory: its pointer and its (perhaps tagged) length.
pub fn transcode<T: Transcoder>(
    source: SourceEncoding,
    bytes: u32,
    target: StringEncoding,
    width: PointerWidth,
    with: &mut T,
) -> Result<(u64, u64), T::Error> {
    use SourceEncoding::*;
    let mut job = Job {
        source,
        bytes,
        units: bytes / source.unit(),
        with,
    };
    match (source, target) {
        (Utf8, StringEncoding::Utf8) => job.copy(1),
        (Utf16 | TaggedUtf16, StringEncoding::Utf16) => job.copy(2),
        (Latin1, StringEncoding::Latin1OrUtf16) => job.copy(2),
        (Latin1, StringEncoding::Utf8) => job.grow_to_utf8(2),
        (Utf16 | TaggedUtf16, StringEncoding::Utf8) => job.grow_to_utf8(3),
        (Utf8 | Latin1, StringEncoding::Utf16) => job.shrink_to_utf16(),
        (Utf8 | Utf16, StringEncoding::Latin1OrUtf16) => job.compact(width),
        (TaggedUtf16, StringEncoding::Latin1OrUtf16) => job.narrow_if_it_fits(width),
    }
}

/// One [`transcode`]. Sizes are at most 3 * [`MAX_BYTES`], which fits `u32`.
struct Job<'a, T> {
    source: SourceEncoding,
    bytes: u32,
    units: u32,
    with: &'a mut T,
}

impl<T: Transcoder> Job<'_, T> {
    /// `realloc`, its result checked.
    fn realloc(
        &mut self,
        old: u64,
        old_bytes: u32,
        align: u32,
        bytes: u32,
    ) -> Result<u64, T::Error> {
        let ptr = self.with.realloc(old, old_bytes, align, bytes)?;
        if !ptr.is_multiple_of(align.into()) {
            return Err(AbiError::ReallocUnaligned.into());
        }
        if ptr
            .checked_add(bytes.into())
            .is_none_or(|end| end > self.with.target_len())
        {
            return Err(AbiError::ReallocOutOfBounds(Content::String).into());
        }
        Ok(ptr)
    }

    /// Gives back what is over.
    fn shrink(&mut self, ptr: u64, bytes: u32, align: u32, used: u32) -> Result<u64, T::Error> {
        if used < bytes {
            self.realloc(ptr, bytes, align, used)
        } else {
            Ok(ptr)
        }
    }

    fn copy(&mut self, align: u32) -> Result<(u64, u64), T::Error> {
        let ptr = self.realloc(0, 0, align, self.bytes)?;
        self.with.step(ptr, self.bytes, |from, to| {
            let len = from.len().min(to.len());
            to[..len].copy_from_slice(&from[..len]);
        })?;
        Ok((ptr, self.units.into()))
    }

    /// To UTF-8: one byte per unit while all is ASCII, else `worst` bytes per unit.
    fn grow_to_utf8(&mut self, worst: u32) -> Result<(u64, u64), T::Error> {
        let source = self.source;
        let ptr = self.realloc(0, 0, 1, self.units)?;
        let ascii = self
            .with
            .step(ptr, self.units, |from, to| to_utf8(source, from, to, true))??;
        if ascii.read >= self.bytes as usize {
            return Ok((ptr, self.units.into()));
        }
        let size = self.units.saturating_mul(worst);
        let ptr = self.realloc(ptr, self.units, 1, size)?;
        let rest = self.with.step(ptr, size, |from, to| {
            let from = from.get(ascii.read..).unwrap_or(&[]);
            let to = to.get_mut(ascii.written..).unwrap_or(&mut []);
            to_utf8(source, from, to, false)
        })??;
        let used = (ascii.written + rest.written) as u32;
        Ok((self.shrink(ptr, size, 1, used)?, used.into()))
    }

    /// To UTF-16: two bytes per unit are always enough.
    fn shrink_to_utf16(&mut self) -> Result<(u64, u64), T::Error> {
        let source = self.source;
        let size = self.units.saturating_mul(2);
        let ptr = self.realloc(0, 0, 2, size)?;
        let done = self
            .with
            .step(ptr, size, |from, to| to_utf16(source, from, to))??;
        let used = done.written as u32;
        Ok((self.shrink(ptr, size, 2, used)?, (used / 2).into()))
    }

    /// To Latin-1 until that no longer goes, then to UTF-16.
    fn compact(&mut self, width: PointerWidth) -> Result<(u64, u64), T::Error> {
        let source = self.source;
        let ptr = self.realloc(0, 0, 2, self.units)?;
        let latin1 = self
            .with
            .step(ptr, self.units, |from, to| to_latin1(source, from, to))??;
        let used = latin1.written as u32;
        if latin1.read >= self.bytes as usize {
            return Ok((self.shrink(ptr, self.units, 2, used)?, used.into()));
        }
        let size = self.units.saturating_mul(2);
        let ptr = self.realloc(ptr, self.units, 2, size)?;
        let rest = self.with.step(ptr, size, |from, to| {
            widen(to, latin1.written);
            let from = from.get(latin1.read..).unwrap_or(&[]);
            let to = to.get_mut(2 * latin1.written..).unwrap_or(&mut []);
            to_utf16(source, from, to)
        })??;
        let used = (2 * latin1.written + rest.written) as u32;
        let ptr = self.shrink(ptr, size, 2, used)?;
        Ok((ptr, u64::from(used / 2) | width.utf16_tag()))
    }

    /// A copy, narrowed to Latin-1 where that goes.
    fn narrow_if_it_fits(&mut self, width: PointerWidth) -> Result<(u64, u64), T::Error> {
        let (ptr, units) = self.copy(2)?;
        match self.with.step(ptr, self.bytes, |_, to| narrow(to))? {
            None => Ok((ptr, units | width.utf16_tag())),
            Some(narrowed) => {
                let ptr = self.realloc(ptr, self.bytes, 1, narrowed as u32)?;
                Ok((ptr, narrowed as u64))
            }
        }
    }
}
