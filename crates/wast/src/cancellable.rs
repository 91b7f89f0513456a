//! The `cancellable` option of waiting, yielding and suspending built-ins.
//!
//! The parser in use no longer reads the option; the spec that Helve follows has it. So it
//! is blanked out of a script's text, and put back into each component's bytes: the
//! built-ins that can have it stand in the bytes in the order of the text, nested
//! components where they are.
//!
//! ```text
//!   (canon thread.yield cancellable (core func $y))      text as it was
//!   (canon thread.yield             (core func $y))      parsed; (offset, true) is kept
//!   ... 0c 00 ...  -->  ... 0c 01 ...                    bytes
//! ```
//!
//! Not here: components in quotes, which the parser sees as they are.

use std::ops::Range;
use wasmparser::{Parser, Payload};
use wast::lexer::{Lexer, TokenKind};

/// Built-ins that can have the option: name and opcode.
const BUILTINS: [(&str, u8); 8] = [
    ("thread.yield", 0x0c),
    ("waitable-set.wait", 0x20),
    ("waitable-set.poll", 0x21),
    ("thread.suspend", 0x29),
    ("thread.suspend-then-resume", 0x2a),
    ("thread.yield-then-resume", 0x2b),
    ("thread.suspend-then-promote", 0x2c),
    ("thread.yield-then-promote", 0x2d),
];

/// A script without the option.
pub(crate) struct Blanked {
    /// As long as the text was, so that places in it are the same.
    pub text: String,
    /// Each built-in that can have the option: where it stands, and whether it had.
    marks: Vec<(usize, bool)>,
}

impl Blanked {
    /// Blanks the option out of `text`.
    pub fn new(text: &str) -> Blanked {
        let mut blanked = text.as_bytes().to_vec();
        let mut marks = Vec::new();
        let mut lexer = Lexer::new(text);
        lexer.allow_confusing_unicode(true);
        // The words before this one: `canon`, then the built-in.
        let (mut canon, mut built_in) = (false, false);
        for token in lexer.iter(0) {
            // The parser says what is wrong, and where.
            let Ok(token) = token else { break };
            let word = match token.kind {
                TokenKind::Keyword => token.src(text),
                TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment => {
                    continue;
                }
                _ => "",
            };
            if built_in && word == "cancellable" {
                if let Some((_, cancellable)) = marks.last_mut() {
                    *cancellable = true;
                }
                let place = token.offset..token.offset + word.len();
                blanked[place].fill(b' ');
            }
            built_in = canon && BUILTINS.iter().any(|(name, _)| *name == word);
            if built_in {
                marks.push((token.offset, false));
            }
            canon = word == "canon";
        }
        Blanked {
            // Only whole words of ASCII were replaced.
            text: String::from_utf8(blanked).unwrap_or_else(|_| text.to_owned()),
            marks,
        }
    }

    /// Puts the option into a component's bytes; `place` is where its text stands.
    pub fn restore(&self, place: Range<usize>, bytes: &mut [u8]) {
        let mut marks = self.marks.iter().filter(|(at, _)| place.contains(at));
        if !marks.clone().any(|(_, cancellable)| *cancellable) {
            return;
        }
        let mut set = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let Ok(Payload::ComponentCanonicalSection(section)) = payload else {
                continue;
            };
            for item in section.into_iter_with_offsets() {
                let Ok((offset, _)) = item else { return };
                let offset = offset as usize;
                let is = bytes
                    .get(offset)
                    .is_some_and(|op| BUILTINS.iter().any(|(_, code)| code == op));
                if is && marks.next().is_some_and(|(_, cancellable)| *cancellable) {
                    set.push(offset + 1);
                }
            }
        }
        for flag in set {
            if let Some(flag) = bytes.get_mut(flag) {
                *flag = 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_goes_from_text_to_bytes() {
        let text = "(component (core func $a (canon thread.yield (; cancellable ;) ))
            (component (canon thread.yield cancellable (core func $b)))
            (canon thread.suspend cancellable (core func $c))
            (canon thread.yield (core func $cancellable)))";
        let blanked = Blanked::new(text);
        assert_eq!(blanked.text.len(), text.len());
        assert_eq!(blanked.text.matches(" cancellable ").count(), 1);
        let flags: Vec<bool> = blanked.marks.iter().map(|(_, mark)| *mark).collect();
        assert_eq!(flags, [false, true, true, false]);
        let buffer = wast::parser::ParseBuffer::new(&blanked.text).unwrap();
        let mut wat = wast::parser::parse::<wast::Wat<'_>>(&buffer).unwrap();
        let mut bytes = wat.encode().unwrap();
        blanked.restore(0..text.len(), &mut bytes);
        let pairs = |pair: &[u8]| bytes.windows(2).filter(|found| *found == pair).count();
        assert_eq!([pairs(&[0x0c, 1]), pairs(&[0x29, 1])], [1, 1]);
    }
}
