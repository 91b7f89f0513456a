//! Sizes and alignments of values in linear memory, for both pointer widths at once.
//!
//! ```text
//!  record { a: u8, b: u32, c: u16 }      variant { x(u8), y(u64) }
//!  +---+-------+-------+-----+----+      +---------+-------------+----------------+
//!  | a | (pad) | b     | c   | ..|       | disc. 1 | (pad) to 8  | payload, max 8 |
//!  +---+-------+-------+-----+----+      +---------+-------------+----------------+
//!  0   1       4       8     10   12     0         1             8                16
//! ```
//!
//! Everything is `const fn`, so that derives and typed values compute their layouts at
//! compile time and the interner with the same code at run time. Sums saturate: what
//! saturates is far above what the interner lets through. Not here: which core values a
//! type becomes (`flat`).

use crate::flat::MAX_FLAT_PARAMS;

/// How wide a memory's addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointerWidth {
    /// 32 bits.
    P32,
    /// 64 bits.
    P64,
}

impl PointerWidth {
    /// Bytes of a pointer.
    pub const fn bytes(self) -> u32 {
        match self {
            PointerWidth::P32 => 4,
            PointerWidth::P64 => 8,
        }
    }

    /// The bit of a `latin1+utf16` string's length that says "UTF-16".
    pub const fn utf16_tag(self) -> u64 {
        match self {
            PointerWidth::P32 => 1 << 31,
            PointerWidth::P64 => 1 << 63,
        }
    }
}

/// Where a value fits: sizes and alignments in bytes, and how many core values it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Size with 32-bit pointers.
    pub size32: u32,
    /// Alignment with 32-bit pointers: 1, 2, 4 or 8.
    pub align32: u32,
    /// Size with 64-bit pointers.
    pub size64: u32,
    /// Alignment with 64-bit pointers.
    pub align64: u32,
    /// Core values when flattened; `None` when more than [`MAX_FLAT_PARAMS`], which
    /// always means "in memory instead".
    pub flat_count: Option<u8>,
}

impl Layout {
    /// `bool`, `s8`, `u8`.
    pub const BYTES1: Layout = Layout::scalar(1);
    /// `s16`, `u16`.
    pub const BYTES2: Layout = Layout::scalar(2);
    /// `s32`, `u32`, `f32`, `char`, every handle.
    pub const BYTES4: Layout = Layout::scalar(4);
    /// `s64`, `u64`, `f64`.
    pub const BYTES8: Layout = Layout::scalar(8);
    /// `string`, `list<T>`, `map<K, V>`: a pointer and a length.
    pub const POINTER_PAIR: Layout = Layout {
        size32: 8,
        align32: 4,
        size64: 16,
        align64: 8,
        flat_count: Some(2),
    };

    /// One number of `size` bytes, aligned to its size.
    const fn scalar(size: u32) -> Layout {
        Layout {
            size32: size,
            align32: size,
            size64: size,
            align64: size,
            flat_count: Some(1),
        }
    }

    /// Size with pointers of this width.
    pub const fn size(&self, width: PointerWidth) -> u32 {
        match width {
            PointerWidth::P32 => self.size32,
            PointerWidth::P64 => self.size64,
        }
    }

    /// Alignment with pointers of this width.
    pub const fn align(&self, width: PointerWidth) -> u32 {
        match width {
            PointerWidth::P32 => self.align32,
            PointerWidth::P64 => self.align64,
        }
    }

    /// A record or tuple of these fields, in this order.
    pub const fn record(fields: &[Layout]) -> Layout {
        let mut builder = RecordBuilder::new();
        let mut i = 0;
        while i < fields.len() {
            builder.field(&fields[i]);
            i += 1;
        }
        builder.finish()
    }

    /// `list<element, length>`.
    pub const fn fixed_list(element: &Layout, length: u32) -> Layout {
        let flat_count = match element.flat_count {
            Some(n) if (n as u64).saturating_mul(length as u64) <= MAX_FLAT_PARAMS as u64 => {
                Some(n * length as u8)
            }
            _ => None,
        };
        Layout {
            size32: element.size32.saturating_mul(length),
            align32: element.align32,
            size64: element.size64.saturating_mul(length),
            align64: element.align64,
            flat_count,
        }
    }

    /// A variant with these payloads: `option<T>` is `[None, Some(T)]`.
    pub const fn variant(payloads: &[Option<Layout>]) -> Layout {
        VariantLayout::new(payloads).layout
    }

    /// An enum of this many cases.
    pub const fn enumeration(cases: usize) -> Layout {
        Layout::scalar(discriminant_size(cases))
    }

    /// Flags with this many labels: 1, 2 or 4 bytes.
    pub const fn flags(labels: usize) -> Layout {
        Layout::scalar(match labels {
            0..=8 => 1,
            9..=16 => 2,
            _ => 4,
        })
    }

    /// Where the next field goes when `offset` bytes of a record are taken already, with
    /// pointers of this width; `offset` becomes where it ends.
    pub const fn next_field(&self, width: PointerWidth, offset: &mut u32) -> u32 {
        let at = align_to(*offset, self.align(width));
        *offset = at.saturating_add(self.size(width));
        at
    }
}

/// Lays out a record field by field.
#[derive(Clone, Copy, Debug)]
pub struct RecordBuilder(Layout);

impl RecordBuilder {
    /// No fields yet.
    pub const fn new() -> RecordBuilder {
        RecordBuilder(Layout {
            size32: 0,
            align32: 1,
            size64: 0,
            align64: 1,
            flat_count: Some(0),
        })
    }

    /// Adds a field: its offsets with 32- and 64-bit pointers.
    pub const fn field(&mut self, field: &Layout) -> (u32, u32) {
        let this = &mut self.0;
        let at32 = field.next_field(PointerWidth::P32, &mut this.size32);
        let at64 = field.next_field(PointerWidth::P64, &mut this.size64);
        this.align32 = max(this.align32, field.align32);
        this.align64 = max(this.align64, field.align64);
        this.flat_count = match (this.flat_count, field.flat_count) {
            (Some(a), Some(b)) if a + b <= MAX_FLAT_PARAMS as u8 => Some(a + b),
            _ => None,
        };
        (at32, at64)
    }

    /// The layout of the whole.
    pub const fn finish(mut self) -> Layout {
        self.0.size32 = align_to(self.0.size32, self.0.align32);
        self.0.size64 = align_to(self.0.size64, self.0.align64);
        self.0
    }
}

impl Default for RecordBuilder {
    fn default() -> RecordBuilder {
        RecordBuilder::new()
    }
}

/// Where a variant's parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariantLayout {
    /// Bytes of the discriminant, which comes first: 1, 2 or 4.
    pub discriminant_size: u32,
    /// Where every payload starts, with 32-bit pointers.
    pub payload32: u32,
    /// Where every payload starts, with 64-bit pointers.
    pub payload64: u32,
    /// The whole.
    pub layout: Layout,
}

impl VariantLayout {
    /// The layout of a variant with these payloads.
    pub const fn new(payloads: &[Option<Layout>]) -> VariantLayout {
        let mut builder = VariantBuilder::new();
        let mut i = 0;
        while i < payloads.len() {
            builder.case(match &payloads[i] {
                Some(payload) => Some(payload),
                None => None,
            });
            i += 1;
        }
        builder.finish()
    }

    /// Where every payload starts.
    pub const fn payload(&self, width: PointerWidth) -> u32 {
        match width {
            PointerWidth::P32 => self.payload32,
            PointerWidth::P64 => self.payload64,
        }
    }
}

/// Lays out a variant case by case.
#[derive(Clone, Copy, Debug)]
pub struct VariantBuilder {
    cases: usize,
    payload: Layout,
}

impl VariantBuilder {
    /// No cases yet.
    pub const fn new() -> VariantBuilder {
        VariantBuilder {
            cases: 0,
            payload: RecordBuilder::new().0,
        }
    }

    /// Adds a case.
    pub const fn case(&mut self, payload: Option<&Layout>) {
        self.cases += 1;
        let Some(case) = payload else { return };
        let this = &mut self.payload;
        this.size32 = max(this.size32, case.size32);
        this.align32 = max(this.align32, case.align32);
        this.size64 = max(this.size64, case.size64);
        this.align64 = max(this.align64, case.align64);
        this.flat_count = match (this.flat_count, case.flat_count) {
            (Some(a), Some(b)) => Some(if a > b { a } else { b }),
            _ => None,
        };
    }

    /// The layout of the whole.
    pub const fn finish(self) -> VariantLayout {
        let tag = Layout::enumeration(self.cases);
        let payload = self.payload;
        let payload32 = align_to(tag.size32, payload.align32);
        let payload64 = align_to(tag.size64, payload.align64);
        let align32 = max(tag.align32, payload.align32);
        let align64 = max(tag.align64, payload.align64);
        let flat_count = match payload.flat_count {
            Some(n) if (n as usize) < MAX_FLAT_PARAMS => Some(n + 1),
            _ => None,
        };
        VariantLayout {
            discriminant_size: tag.size32,
            payload32,
            payload64,
            layout: Layout {
                size32: align_to(payload32.saturating_add(payload.size32), align32),
                align32,
                size64: align_to(payload64.saturating_add(payload.size64), align64),
                align64,
                flat_count,
            },
        }
    }
}

impl Default for VariantBuilder {
    fn default() -> VariantBuilder {
        VariantBuilder::new()
    }
}

/// Bytes of the discriminant of a variant or enum of this many cases: 1, 2 or 4.
pub const fn discriminant_size(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// `offset` rounded up to a multiple of `align`, a power of two; saturates.
pub const fn align_to(offset: u32, align: u32) -> u32 {
    match offset.checked_next_multiple_of(align) {
        Some(aligned) => aligned,
        None => u32::MAX,
    }
}

const fn max(a: u32, b: u32) -> u32 {
    if a > b { a } else { b }
}
