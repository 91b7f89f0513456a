//! The `cancellable` immediate of waiting, yielding and suspending built-ins.
//!
//! The parser in use reads that byte as one that must be zero: a later version of the
//! spec took the immediate away. The version that Helve follows has it. So a section
//! that holds the byte is given to the parser with zeros there, and which definitions
//! had it is kept aside.
//!
//! ```text
//!  bytes:    ... 20 01 00 ...       (waitable-set.wait cancellable, memory 0)
//!  parsed:   ... 20 00 00 ...       and "definition 4 is cancellable"
//! ```

use std::collections::HashSet;
use wasmparser::{BinaryReader, CanonicalFunction, WasmFeatures};

/// The opcodes of built-ins whose first immediate is `cancel?`.
const OPCODES: [u8; 8] = [0x0c, 0x20, 0x21, 0x29, 0x2a, 0x2b, 0x2c, 0x2d];

/// A canonical section without the immediate.
pub(crate) struct Unmarked {
    /// The section's bytes with zeros.
    pub bytes: Vec<u8>,
    /// Which of its definitions had it.
    pub cancellable: HashSet<usize>,
}

/// Opcodes that the parser in use knows and the spec does not.
const UNALLOCATED: [u8; 2] = [0x2e, 0x2f];

/// Takes the immediate out of a canonical section; none where there is none in it, or
/// where the section is malformed in a way that the parser finds out about. What it does
/// not find out about is the error.
pub(crate) fn unmark(section: &[u8], features: WasmFeatures) -> Result<Option<Unmarked>, String> {
    let looks_marked = |pair: &[u8]| OPCODES.contains(&pair[0]) && pair[1] != 0;
    if !section.windows(2).any(looks_marked) && !section.iter().any(|b| UNALLOCATED.contains(b)) {
        return Ok(None);
    }
    let mut bytes = section.to_vec();
    let mut cancellable = HashSet::new();
    let walked = walk(&mut bytes, &mut cancellable, features);
    match walked {
        Some(Err(message)) => Err(message),
        Some(Ok(())) if !cancellable.is_empty() => Ok(Some(Unmarked { bytes, cancellable })),
        _ => Ok(None),
    }
}

/// None where the parser gives up.
fn walk(
    bytes: &mut [u8],
    cancellable: &mut HashSet<usize>,
    features: WasmFeatures,
) -> Option<Result<(), String>> {
    let mut count = BinaryReader::new_features(bytes, 0, features);
    let definitions = usize::try_from(count.read_var_u32().ok()?).ok()?;
    let mut at = usize::try_from(count.original_position()).ok()?;
    for definition in 0..definitions {
        match bytes.get_mut(at..)? {
            [opcode, ..] if UNALLOCATED.contains(opcode) => {
                let message = format!("invalid leading byte ({opcode:#x}) for canonical function");
                return Some(Err(message));
            }
            [opcode, flag, ..] if OPCODES.contains(opcode) => match flag {
                0 => {}
                1 => {
                    *flag = 0;
                    cancellable.insert(definition);
                }
                _ => return Some(Err("invalid boolean value".into())),
            },
            _ => {}
        }
        let mut reader = BinaryReader::new_features(bytes.get(at..)?, 0, features);
        reader.read::<CanonicalFunction>().ok()?;
        at = at.checked_add(usize::try_from(reader.original_position()).ok()?)?;
    }
    Some(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_the_flags_and_nothing_else() {
        // (section, definitions that are cancellable)
        let cases: &[(&[u8], Option<&[usize]>)] = &[
            (&[1, 0x20, 0, 0], None),
            (&[1, 0x20, 1, 0], Some(&[0])),
            (&[3, 0x0c, 0, 0x29, 1, 0x2d, 1], Some(&[1, 2])),
            // A memory index of 1 after a zero, and `context.get i32 1` are no flags.
            (&[1, 0x20, 0, 1], None),
            (&[2, 0x0a, 0x7f, 0x0c, 0x0c, 1], Some(&[1])),
            // Truncated; and an opcode that does not exist.
            (&[2, 0x0c, 1], None),
            (&[2, 0x0c, 1, 0xee], None),
            (&[], None),
        ];
        for (section, want) in cases {
            let got = unmark(section, WasmFeatures::all()).expect("no error");
            let mut found = got.map(|u| {
                assert_eq!(u.bytes.len(), section.len());
                u.cancellable.into_iter().collect::<Vec<_>>()
            });
            found.iter_mut().for_each(|f| f.sort_unstable());
            assert_eq!(found.as_deref(), *want, "{section:x?}");
        }
    }
    #[test]
    fn what_the_spec_does_not_have_is_refused() {
        for (section, want) in [
            (&[1, 0x0c, 2][..], "invalid boolean value"),
            (&[2, 0x0d, 0x20, 2, 0], "invalid boolean value"),
            (&[1, 0x2e], "invalid leading byte (0x2e)"),
            (&[2, 0x0d, 0x2f, 0], "invalid leading byte (0x2f)"),
        ] {
            let error = unmark(section, WasmFeatures::all()).err();
            assert!(error.is_some_and(|e| e.contains(want)), "{section:x?}");
        }
    }
}
