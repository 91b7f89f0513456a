//! The canonical options that stand beside a lift, a lower or a built-in.
//!
//! What the options point to (core functions, memories) is whatever the holder calls
//! them: `decode` puts its definitions here, the component layer what it resolved them
//! to; [`CanonicalOptions::map`] goes from one to the other. Not here: which option is
//! needed where, which `decode` has validated.

use crate::flat::{Side, SignatureOptions};
use crate::layout::PointerWidth;

/// How a component's strings stand in its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StringEncoding {
    /// UTF-8; the length counts bytes.
    #[default]
    Utf8,
    /// UTF-16, little-endian; the length counts code units.
    Utf16,
    /// Latin-1, or UTF-16 where the length's top bit is set.
    Latin1OrUtf16,
}

impl std::fmt::Display for StringEncoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StringEncoding::Utf8 => "utf8",
            StringEncoding::Utf16 => "utf16",
            StringEncoding::Latin1OrUtf16 => "latin1+utf16",
        })
    }
}

/// Canonical options over core functions `F` and memories `M`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalOptions<F, M = F> {
    /// `string-encoding=..`.
    pub string_encoding: StringEncoding,
    /// `(memory ..)`.
    pub memory: Option<M>,
    /// The width of the memory's addresses; 32 bits where there is none.
    pub width: PointerWidth,
    /// `(realloc ..)`.
    pub realloc: Option<F>,
    /// `(post-return ..)`.
    pub post_return: Option<F>,
    /// `async`.
    pub is_async: bool,
    /// `(callback ..)`.
    pub callback: Option<F>,
}

impl<F, M> Default for CanonicalOptions<F, M> {
    fn default() -> Self {
        CanonicalOptions {
            string_encoding: StringEncoding::Utf8,
            memory: None,
            width: PointerWidth::P32,
            realloc: None,
            post_return: None,
            is_async: false,
            callback: None,
        }
    }
}

impl<F, M> CanonicalOptions<F, M> {
    /// What decides the core signature of a function lifted or lowered with these.
    pub fn signature(&self, side: Side) -> SignatureOptions {
        SignatureOptions {
            side,
            width: self.width,
            is_async: self.is_async,
            callback: self.callback.is_some(),
        }
    }

    /// The same options over other things; stops at the first error.
    pub fn map<G, N, E>(
        &self,
        mut func: impl FnMut(&F) -> Result<G, E>,
        memory: impl FnOnce(&M) -> Result<N, E>,
    ) -> Result<CanonicalOptions<G, N>, E> {
        Ok(CanonicalOptions {
            string_encoding: self.string_encoding,
            memory: self.memory.as_ref().map(memory).transpose()?,
            width: self.width,
            realloc: self.realloc.as_ref().map(&mut func).transpose()?,
            post_return: self.post_return.as_ref().map(&mut func).transpose()?,
            is_async: self.is_async,
            callback: self.callback.as_ref().map(&mut func).transpose()?,
        })
    }
}
