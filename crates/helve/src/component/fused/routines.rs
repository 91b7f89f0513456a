//! The routines that adapters call, one for each row of `base::adapter`.
//!
//! Those that can fail run as host calls do: an error or panic is recorded in the store,
//! and the adapter raises it.
//!
//! # Safety
//!
//! Only adapters call these, with their own context, which is an [`AdapterContext`], with
//! addresses whose ranges they have checked, and with indices of what their component has.
//! The two memories of a call are never one, so what is read does not change meanwhile.

use super::context::AdapterContext;
use super::transcode;
use crate::component::drive::ends;
use crate::component::drive::noted::{self, Forked};
use crate::component::part::Part;
use helve_abi::error::{AbiError, Content};
use helve_abi::program::Handle;
use helve_abi::strings::{self, SourceEncoding};
use helve_abi::types::{FutureId, ResourceTypeId, StreamId};
use helve_base::adapter::{ComponentBuiltin, FORK_OVER, Guard};
use helve_base::builtin::status;
use helve_base::vmctx::CodePtr;
use helve_base::{Bug, Error, Result, for_each_component_builtin};
use helve_vm::traps::{host_call, host_call_waiting};

/// Bytes of a string that are looked at and then copied.
const PIECE: usize = 16 << 10;

/// What a routine that fails returns.
const FAILED: u64 = u64::MAX;

/// The routines, in the order of `ComponentBuiltin::ALL`.
pub(super) fn array() -> *const CodePtr {
    ROUTINES.0.as_ptr()
}

struct Array([CodePtr; ComponentBuiltin::ALL.len()]);

// SAFETY: addresses of functions.
unsafe impl Sync for Array {}

macro_rules! fill {
    ($($(#[$doc:meta])* $name:ident = $fn:ident($($param:ident),*) $(-> $result:ident)?;)*) => {
        /// Each routine, checked against the types of its row.
        static ROUTINES: Array = Array([
            $($fn as unsafe extern "C" fn($(fill!(@type $param)),*) $(-> fill!(@type $result))? as CodePtr),*
        ]);
    };
    (@type VMContext) => { *mut u8 };
    (@type Pointer) => { *mut u8 };
    (@type I32) => { u32 };
    (@type I64) => { u64 };
}

for_each_component_builtin!(fill);

/// Runs `f`; what it fails with is recorded.
///
/// # Safety
///
/// As for all routines.
#[inline]
unsafe fn run(context: *mut u8, f: impl FnOnce(&AdapterContext) -> Result<u64>) -> u64 {
    let mut value = FAILED;
    // SAFETY: an adapter's context, alive while the adapter runs, and never written to.
    let left = unsafe {
        let context = &*context.cast::<AdapterContext>();
        host_call(context.vm.store, || {
            value = f(context)?;
            Ok(())
        })
    };
    if left == status::RETURNED {
        value
    } else {
        FAILED
    }
}

unsafe extern "C" fn refuse(context: *mut u8, guard: u32, x: u64, y: u64) -> u64 {
    // SAFETY: see the module.
    unsafe { run(context, |_| Err(refusal(guard, x, y))) }
}

fn refusal(guard: u32, x: u64, y: u64) -> Error {
    let Some(guard) = Guard::from_number(guard) else {
        return Error::new(Bug("an adapter gave up without a reason".into()));
    };
    let (at, bits) = (x as usize, x as u32);
    let error = match guard {
        Guard::Unaligned => AbiError::Unaligned,
        Guard::StringOutOfBounds => AbiError::OutOfBounds(Content::String),
        Guard::ListOutOfBounds => AbiError::OutOfBounds(Content::List),
        Guard::ValuesOutOfBounds => AbiError::OutOfBounds(Content::Values),
        Guard::StringTooLong => AbiError::TooLong(Content::String),
        Guard::ListTooLong => AbiError::TooLong(Content::List),
        Guard::ReallocUnaligned => AbiError::ReallocUnaligned,
        Guard::ReallocStringOutOfBounds => AbiError::ReallocOutOfBounds(Content::String),
        Guard::ReallocListOutOfBounds => AbiError::ReallocOutOfBounds(Content::List),
        Guard::ReallocValuesOutOfBounds => AbiError::ReallocOutOfBounds(Content::Values),
        Guard::InvalidUtf8 => AbiError::InvalidUtf8(at),
        Guard::IncompleteUtf8 => AbiError::IncompleteUtf8(at),
        Guard::InvalidUtf16 => AbiError::InvalidUtf16(at),
        Guard::InvalidChar => AbiError::InvalidChar(bits),
        Guard::InvalidDiscriminant => AbiError::InvalidDiscriminant(bits, y as u32),
    };
    error.into()
}

unsafe extern "C" fn copy_bytes(to: *mut u8, from: *mut u8, bytes: u64) {
    // SAFETY: both ranges are in their memories, which differ.
    unsafe { std::ptr::copy_nonoverlapping(from, to, bytes as usize) };
}

/// Bytes of a string up to which [`copy_short_ascii`] is tried.
const SHORT: usize = 64;

/// Copies a short string, word by word, and says whether it is all ASCII. If not, what was
/// copied is to be copied again.
///
/// # Safety
///
/// There is room for it at `to`, in another memory.
#[inline]
unsafe fn copy_short_ascii(to: *mut u8, text: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let Some(last) = text.len().checked_sub(8) else {
        let mut all = 0;
        for (at, byte) in text.iter().enumerate() {
            all |= byte;
            // SAFETY: by contract.
            unsafe { to.add(at).write(*byte) };
        }
        return all < 0x80;
    };
    let mut all = 0;
    let mut copy = |at: usize| {
        // SAFETY: `at` is at most 8 bytes before the end of both.
        unsafe {
            let word = text.as_ptr().add(at).cast::<u64>().read_unaligned();
            all |= word;
            to.add(at).cast::<u64>().write_unaligned(word);
        }
    };
    let mut at = 0;
    while at < last {
        copy(at);
        at += 8;
    }
    copy(last);
    all & HIGH == 0
}

unsafe extern "C" fn copy_utf8(to: *mut u8, from: *mut u8, bytes: u64) -> u64 {
    // SAFETY: both ranges are in their memories, which differ.
    let text = unsafe { std::slice::from_raw_parts(from, bytes as usize) };
    // SAFETY: as above.
    if text.len() <= SHORT && unsafe { copy_short_ascii(to, text) } {
        return u64::MAX;
    }
    let mut done = 0;
    // Piece by piece, so that a piece is still in the cache when it is copied.
    while done < text.len() {
        let rest = text.get(done..).unwrap_or(&[]);
        let piece = rest.get(..boundary(rest)).unwrap_or(rest);
        match strings::utf8(piece) {
            Ok(_) => {}
            Err(AbiError::IncompleteUtf8(at)) if piece.len() == rest.len() => {
                return (done + at) as u64 * 2 + 1;
            }
            Err(AbiError::IncompleteUtf8(at) | AbiError::InvalidUtf8(at)) => {
                return (done + at) as u64 * 2;
            }
            Err(_) => return 0,
        }
        // SAFETY: as above; pieces are parts of the whole.
        unsafe { std::ptr::copy_nonoverlapping(piece.as_ptr(), to.add(done), piece.len()) };
        done += piece.len();
    }
    u64::MAX
}

/// Where to end the next piece: before a byte that a character can start with.
fn boundary(text: &[u8]) -> usize {
    let starts = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 != 0x80);
    match text.len() {
        len if len <= PIECE => len,
        _ => (PIECE - 3..=PIECE).rev().find(starts).unwrap_or(PIECE),
    }
}

unsafe extern "C" fn copy_utf16(to: *mut u8, from: *mut u8, bytes: u64) -> u64 {
    // SAFETY: both ranges are in their memories, which differ.
    let text = unsafe {
        std::ptr::copy_nonoverlapping(from, to, bytes as usize);
        std::slice::from_raw_parts(from, bytes as usize)
    };
    if !text.chunks(64).any(has_surrogate) {
        return u64::MAX;
    }
    match strings::validate(SourceEncoding::Utf16, text) {
        Ok(()) => u64::MAX,
        Err(AbiError::InvalidUtf16(at)) => at as u64,
        Err(_) => 0,
    }
}

/// Whether a code unit is half of a surrogate pair. Without a branch for each.
fn has_surrogate(units: &[u8]) -> bool {
    let (units, _) = units.as_chunks::<2>();
    units
        .iter()
        .fold(false, |found, unit| found | (unit[1] & 0xf8 == 0xd8))
}

unsafe extern "C" fn transcode(
    context: *mut u8,
    from: u32,
    pointer: u64,
    length: u64,
    out: *mut u8,
) -> u64 {
    // SAFETY: see the module; `out` has room for two numbers, in the adapter's frame.
    unsafe {
        run(context, |context| {
            let (pointer, length) = transcode::string(context, from, pointer, length)?;
            out.cast::<[u64; 2]>().write([pointer, length]);
            Ok(0)
        })
    }
}

impl AdapterContext {
    /// One side's component instance.
    fn part(&self, side: usize) -> Result<&Part> {
        match self.sides.get(side) {
            Some(options) => Ok(self.instance().part(options.owner)),
            None => Err(Error::new(Bug("a call has two sides".into()))),
        }
    }
}

unsafe extern "C" fn transfer_own(context: *mut u8, from: u32, ty: u32, index: u32) -> u64 {
    // SAFETY: see the module.
    unsafe {
        run(context, |context| {
            let key = context.instance().resource(ResourceTypeId::from_u32(ty))?;
            let rep = context.part(from as usize)?.take_own(key, index)?;
            let index = context.part(1 - from as usize)?.insert_own(key, rep)?;
            Ok(index.into())
        })
    }
}

unsafe extern "C" fn begin_scope(context: *mut u8) -> u64 {
    // SAFETY: see the module.
    unsafe {
        run(context, |context| {
            Ok(context.instance().fused.begin()?.into())
        })
    }
}

unsafe extern "C" fn transfer_borrow(context: *mut u8, scope: u64, ty: u32, index: u32) -> u64 {
    // SAFETY: see the module.
    unsafe {
        run(context, |context| {
            let ty = ResourceTypeId::from_u32(ty);
            let instance = context.instance();
            let key = instance.resource(ty)?;
            let callee = context.sides[1].owner;
            instance.fused.with(scope as u32, |scope| {
                let rep = context.part(0)?.lend(&mut scope.loans, key, index)?;
                if instance.implements(callee, ty) {
                    return Ok(rep.into());
                }
                let task = match scope.task {
                    Some(task) => task,
                    None => *scope.task.insert(instance.shared().begin_scope()?),
                };
                let index = instance.part(callee).insert_borrow(key, rep, task)?;
                Ok(index.into())
            })
        })
    }
}

unsafe extern "C" fn grow_handles(context: *mut u8, side: u32) -> u64 {
    // SAFETY: see the module.
    unsafe {
        run(context, |context| {
            context.part(side as usize)?.make_room()?;
            Ok(0)
        })
    }
}

unsafe extern "C" fn borrows_remain(context: *mut u8, count: u64) -> u64 {
    // SAFETY: see the module.
    unsafe {
        run(context, |context| {
            Err(context.part(1)?.borrows_remain(count as u32))
        })
    }
}

unsafe extern "C" fn transfer_end(
    context: *mut u8,
    from: u32,
    kind: u32,
    ty: u32,
    index: u32,
) -> u64 {
    // SAFETY: see the module.
    unsafe {
        run(context, |context| {
            let handle = match kind {
                0 => Handle::Stream(StreamId::from_u32(ty)),
                1 => Handle::Future(FutureId::from_u32(ty)),
                _ => Handle::ErrorContext,
            };
            let owner = |side: u32| context.sides.get(side as usize).map(|side| side.owner);
            let (Some(from), Some(to)) = (owner(from), owner(1 - from.min(1))) else {
                return Err(Error::new(Bug("a call has two sides".into())));
            };
            let index = ends::transfer(context.instance(), (from, to), handle, index)?;
            Ok(index.into())
        })
    }
}

unsafe extern "C" fn settle(context: *mut u8, _record: *mut u8, packed: u32, out: *mut u8) -> u64 {
    // SAFETY: see the module; `out` has room for a lane, in the adapter's frame.
    unsafe {
        let context = &*context.cast::<AdapterContext>();
        let status = host_call_waiting(context.vm.store, |waits| {
            noted::settle(context, packed, out.cast(), waits)
        });
        status.into()
    }
}

unsafe extern "C" fn fork(
    context: *mut u8,
    record: *mut u8,
    array: *mut u8,
    answer: *mut u8,
) -> u64 {
    // SAFETY: see the module; the arrays are in the adapter's frame.
    unsafe {
        let context = &*context.cast::<AdapterContext>();
        let mut over = false;
        let status = host_call_waiting(context.vm.store, |waits| {
            let answer = (answer.cast(), waits);
            let forked = noted::fork(context, record.cast(), array.cast(), answer)?;
            over = matches!(forked, Forked::Over);
            Ok(())
        });
        if over { FORK_OVER } else { status.into() }
    }
}

unsafe extern "C" fn end_scope(context: *mut u8, scope: u64) -> u64 {
    // SAFETY: see the module.
    unsafe {
        run(context, |context| {
            let number = scope as u32;
            let fused = &context.instance().fused;
            fused.with(number, |scope| {
                if let Some(task) = scope.task.take() {
                    context.part(1)?.end_scope(task)?;
                }
                context.part(0)?.end_loans(&mut scope.loans)
            })?;
            fused.end(number);
            Ok(0)
        })
    }
}
