//! Strings from every encoding to every other: bytes, lengths and the exact `realloc`
//! calls; and what is not a string.
//!
//! `data/strings.txt`: source encoding | its bytes | target encoding | pointer width |
//! pointer and length (`utf16:` where tagged) | `realloc` calls as old:bytes:align:bytes,
//! with an allocator that counts up from 16 | the bytes of the result.

use helve_abi::layout::PointerWidth;
use helve_abi::strings::{
    SourceEncoding, Transcoder, decode, list_bytes, range, transcode, validate,
};
use helve_abi::{AbiError, Content, StringEncoding};

struct Target {
    source: Vec<u8>,
    memory: Vec<u8>,
    next: u64,
    /// Added to what `realloc` returns.
    skew: u64,
    calls: Vec<String>,
}

impl Transcoder for Target {
    type Error = AbiError;

    fn realloc(
        &mut self,
        old: u64,
        old_bytes: u32,
        align: u32,
        bytes: u32,
    ) -> Result<u64, AbiError> {
        self.calls
            .push(format!("{old}:{old_bytes}:{align}:{bytes}"));
        let at = self.next.next_multiple_of(align.into());
        self.next = at + u64::from(bytes);
        let kept = old_bytes.min(bytes) as usize;
        self.memory
            .copy_within(old as usize..old as usize + kept, at as usize);
        Ok(at + self.skew)
    }

    fn target_len(&mut self) -> u64 {
        self.memory.len() as u64
    }

    fn step<R>(
        &mut self,
        ptr: u64,
        bytes: u32,
        step: impl FnOnce(&[u8], &mut [u8]) -> R,
    ) -> Result<R, AbiError> {
        Ok(step(
            &self.source,
            &mut self.memory[ptr as usize..][..bytes as usize],
        ))
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn target(source: &[u8]) -> Target {
    Target {
        source: source.to_vec(),
        memory: vec![0; 256],
        next: 16,
        skew: 0,
        calls: vec![],
    }
}

#[test]
fn every_pairing() {
    for line in include_str!("data/strings.txt").lines() {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [source, from, encoding, width, place, calls, to] = columns[..] else {
            panic!("{line}")
        };
        let source = match source {
            "utf8" => SourceEncoding::Utf8,
            "utf16" => SourceEncoding::Utf16,
            "latin1" => SourceEncoding::Latin1,
            _ => SourceEncoding::TaggedUtf16,
        };
        let encoding = match encoding {
            "utf8" => StringEncoding::Utf8,
            "utf16" => StringEncoding::Utf16,
            _ => StringEncoding::Latin1OrUtf16,
        };
        let width = if width == "32" {
            PointerWidth::P32
        } else {
            PointerWidth::P64
        };
        let from = hex(from);
        assert_eq!(validate(source, &from), Ok(()), "{line}");
        let mut target = target(&from);
        let (ptr, length) =
            transcode(source, from.len() as u32, encoding, width, &mut target).unwrap();
        let tag = width.utf16_tag();
        let shown = match encoding == StringEncoding::Latin1OrUtf16 && length & tag != 0 {
            true => format!("{ptr} utf16:{}", length ^ tag),
            false => format!("{ptr} {length}"),
        };
        assert_eq!(shown, place, "{line}");
        assert_eq!(target.calls.join(" "), calls, "{line}");
        let read = range(encoding, width, ptr, length, 256).unwrap();
        let bytes = &target.memory[ptr as usize..][..read.bytes as usize];
        assert_eq!(bytes, hex(to), "{line}");
        assert_eq!(
            decode(read.encoding, bytes),
            decode(source, &from),
            "{line}"
        );
    }
}

#[test]
fn what_is_not_a_string() {
    use AbiError::*;
    let cases: &[(SourceEncoding, &str, AbiError)] = &[
        (SourceEncoding::Utf8, "ff", InvalidUtf8(0)),
        (SourceEncoding::Utf8, "6180", InvalidUtf8(1)),
        (SourceEncoding::Utf8, "c3", IncompleteUtf8(0)),
        (SourceEncoding::Utf8, "61e298", IncompleteUtf8(1)),
        (SourceEncoding::Utf8, "eda080", InvalidUtf8(0)),
        (SourceEncoding::Utf16, "00d8", InvalidUtf16(0)),
        (SourceEncoding::Utf16, "610000dc", InvalidUtf16(1)),
        (SourceEncoding::TaggedUtf16, "00d86100", InvalidUtf16(0)),
    ];
    for (encoding, bytes, error) in cases {
        assert_eq!(validate(*encoding, &hex(bytes)), Err(*error), "{bytes}");
        assert_eq!(decode(*encoding, &hex(bytes)), Err(*error), "{bytes}");
        // Transcoding what was not validated must end in an error too, not in a panic.
        for to in [
            StringEncoding::Utf8,
            StringEncoding::Utf16,
            StringEncoding::Latin1OrUtf16,
        ] {
            let from = hex(bytes);
            let _ = transcode(
                *encoding,
                from.len() as u32,
                to,
                PointerWidth::P32,
                &mut target(&from),
            );
        }
    }
    assert!(
        AbiError::InvalidUtf8(0)
            .to_string()
            .contains("invalid utf-8")
    );
    assert!(
        AbiError::IncompleteUtf8(0)
            .to_string()
            .contains("incomplete utf-8 byte sequence")
    );
}

#[test]
fn pointers_and_lengths() {
    use AbiError::*;
    use StringEncoding::*;
    let (p32, p64) = (PointerWidth::P32, PointerWidth::P64);
    let string = |bytes| Ok::<u32, AbiError>(bytes);
    let out = Err(OutOfBounds(Content::String));
    let long = Err(TooLong(Content::String));
    let cases = [
        (Utf8, p32, 0, 100, string(100)),
        (Utf8, p32, 100, 0, string(0)),
        (Utf8, p32, 101, 0, out),
        (Utf8, p32, 1, 100, out),
        (Utf8, p64, u64::MAX, 2, out),
        (Utf16, p32, 1, 0, Err(Unaligned)),
        (Utf16, p32, 2, 49, string(98)),
        (Utf16, p32, 2, 50, out),
        (Utf16, p64, 0, 1 << 63, long),
        (Latin1OrUtf16, p32, 0, 100, string(100)),
        (Latin1OrUtf16, p32, 0, 1 << 31 | 50, string(100)),
        (Latin1OrUtf16, p32, 0, 1 << 31 | 51, out),
        (Latin1OrUtf16, p64, 0, 1 << 63 | 50, string(100)),
        (Latin1OrUtf16, p64, 0, 1 << 31, long),
        (Latin1OrUtf16, p32, 3, 0, Err(Unaligned)),
        (Utf8, p32, 0, 1 << 28, long),
        (Utf8, p32, 0, (1 << 28) - 1, out),
    ];
    for (encoding, width, ptr, length, want) in cases {
        let found = range(encoding, width, ptr, length, 100).map(|range| range.bytes);
        assert_eq!(found, want, "{encoding} {ptr} {length}");
    }
    assert_eq!(list_bytes(4, 24, 4, 4, 100), Ok(96));
    assert_eq!(
        list_bytes(4, 25, 4, 4, 100),
        Err(OutOfBounds(Content::List))
    );
    assert_eq!(list_bytes(2, 0, 4, 4, 100), Err(Unaligned));
    assert_eq!(
        list_bytes(0, u64::MAX, 8, 8, 100),
        Err(TooLong(Content::List))
    );
}

#[test]
fn what_realloc_may_not_return() {
    let text = "ab☃".as_bytes();
    for (skew, encoding, want) in [
        (1, StringEncoding::Utf16, AbiError::ReallocUnaligned),
        (
            1000,
            StringEncoding::Utf8,
            AbiError::ReallocOutOfBounds(Content::String),
        ),
        (
            u64::MAX - 20,
            StringEncoding::Utf8,
            AbiError::ReallocOutOfBounds(Content::String),
        ),
    ] {
        let mut target = target(text);
        target.skew = skew;
        let source = SourceEncoding::Utf8;
        let found = transcode(
            source,
            text.len() as u32,
            encoding,
            PointerWidth::P64,
            &mut target,
        );
        assert_eq!(found, Err(want));
    }
}
