//! The host's side of a call: who writes its arguments and reads its result, wherever the
//! host is by then.
//!
//! ```text
//!   call, call_async   HostEnd::Lent(token, pointer)   good while the future that made the
//!                                                      call is being polled: its token is
//!                                                      the store's current one
//!   call_concurrent    HostEnd::Owned(box)             good until the call is over
//!   its host has left  neither                         arguments: an error; result: discarded
//! ```
//!
//! Not here: when arguments and results cross (`drive::call`, `fiber_call`).
//!
//! # Safety
//!
//! A lent side stands in a future (or frame) that can only be running, or be polled, when
//! its token is current: so it is followed only while it exists, even where the future was
//! forgotten without being dropped.

use crate::component::call::enter::CallShape;
use crate::component::call::lane::Lane;
use crate::component::lift::LiftContext;
use crate::component::lower::LowerContext;
use crate::component::store::StoreShared;
use crate::component::value::{self, Val, Vals};
use crate::core::store::StorePtr;
use helve_base::{Bug, Error, Result};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

/// How a call ended without a result.
pub(crate) enum Ending {
    /// Something went wrong.
    Failed(Error),
    /// It was cancelled.
    Cancelled,
}

/// The host's side of a call.
pub(crate) trait HostSide {
    /// Writes the arguments.
    fn lower(
        &mut self,
        shape: &CallShape,
        cx: &mut LowerContext<'_>,
        lanes: &mut [Lane],
    ) -> Result<()>;

    /// Reads the result; `false`: nobody wants it.
    fn lift(&mut self, shape: &CallShape, cx: &mut LiftContext<'_>, lanes: &[Lane])
    -> Result<bool>;

    /// There will be no result.
    fn end(&mut self, how: Ending);
}

/// Who drives a store now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

/// The tokens of a store. Loops run inside each other (a host future may make a blocking
/// call), and whoever drives one of them is there: all of theirs are current.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    last: Cell<u64>,
    current: RefCell<Vec<u64>>,
}

impl Tokens {
    /// A new one, current for nobody yet.
    pub fn make(&self) -> Token {
        self.last.set(self.last.get() + 1);
        Token(self.last.get())
    }

    fn is_current(&self, token: Token) -> bool {
        self.current.borrow().contains(&token.0)
    }

    /// Makes one current while `work` runs.
    pub fn during<R>(&self, token: Token, work: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a Tokens);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.current.borrow_mut().pop();
            }
        }
        self.current.borrow_mut().push(token.0);
        let _back = Back(self);
        work()
    }
}

enum End {
    Lent(Token, NonNull<dyn HostSide>),
    Owned(Box<dyn HostSide + Send>),
}

/// See the head of this file.
pub(crate) struct HostEnd(RefCell<End>);

impl HostEnd {
    /// # Safety
    ///
    /// `side` must be alive, and used by nobody else, whenever `token` is current.
    pub unsafe fn lent(token: Token, side: &mut dyn HostSide) -> HostEnd {
        // SAFETY: only its lifetime is forgotten.
        let side = unsafe { std::mem::transmute::<&mut dyn HostSide, NonNull<dyn HostSide>>(side) };
        HostEnd(RefCell::new(End::Lent(token, side)))
    }

    pub fn owned(side: Box<dyn HostSide + Send>) -> HostEnd {
        HostEnd(RefCell::new(End::Owned(side)))
    }

    /// The side, if its host is still there.
    fn with<R>(&self, tokens: &Tokens, work: impl FnOnce(Option<&mut dyn HostSide>) -> R) -> R {
        match &mut *self.0.borrow_mut() {
            End::Owned(side) => work(Some(&mut **side)),
            End::Lent(token, side) if tokens.is_current(*token) => {
                // SAFETY: see the head of this file.
                work(Some(unsafe { side.as_mut() }))
            }
            End::Lent(..) => work(None),
        }
    }

    /// Whether its host has left.
    pub fn is_gone(&self, tokens: &Tokens) -> bool {
        self.with(tokens, |side| side.is_none())
    }

    pub fn lower(
        &self,
        tokens: &Tokens,
        shape: &CallShape,
        cx: &mut LowerContext<'_>,
        lanes: &mut [Lane],
    ) -> Result<()> {
        self.with(tokens, |side| match side {
            Some(side) => side.lower(shape, cx, lanes),
            None => Err(Error::msg("the call's future is gone before it started")),
        })
    }

    /// Reads the result, or does away with what is in it.
    pub fn lift(
        &self,
        tokens: &Tokens,
        shape: &CallShape,
        cx: &mut LiftContext<'_>,
        lanes: &[Lane],
    ) -> Result<()> {
        let wanted = self.with(tokens, |side| match side {
            Some(side) => side.lift(shape, cx, lanes),
            None => Ok(false),
        })?;
        if wanted {
            return Ok(());
        }
        let mut vals = Vals::new();
        value::lift_passed(cx, &shape.programs.result, lanes, &mut vals)?;
        cx.instance.shared().concurrent.discard(vals);
        Ok(())
    }

    pub fn end(&self, tokens: &Tokens, how: Ending) {
        self.with(tokens, |side| {
            if let Some(side) = side {
                side.end(how);
            }
        });
    }
}

/// Ends what a value that nobody wants holds.
pub(super) fn discard(store: StorePtr, shared: &StoreShared, val: &Val) -> Result<()> {
    let discard = |val: &Val| discard(store, shared, val);
    let each = |mut vals: &mut dyn Iterator<Item = &Val>| -> Result<()> {
        (&mut vals).try_for_each(discard)
    };
    match val {
        Val::List(vals) | Val::Tuple(vals) => each(&mut vals.iter()),
        Val::Record(fields) => each(&mut fields.iter().map(|(_, val)| val)),
        Val::Variant(_, Some(val)) | Val::Option(Some(val)) => discard(val),
        Val::Result(Ok(Some(val)) | Err(Some(val))) => discard(val),
        Val::Map(entries) => entries.iter().try_for_each(|(key, val)| {
            discard(key)?;
            discard(val)
        }),
        Val::Resource(any) => any.destroy(store, shared),
        Val::Stream(stream) => stream.discard(shared),
        Val::Future(future) => future.discard(shared),
        _ => Ok(()),
    }
}

/// A side made of closures, in the frame or future of who calls.
pub(crate) struct Closures<L, U, R> {
    lower: Option<L>,
    lift: Option<U>,
    /// What became of the call.
    pub outcome: Option<Result<R, Ending>>,
}

impl<L, U, R> Closures<L, U, R> {
    pub fn new(lower: L, lift: U) -> Self {
        Closures {
            lower: Some(lower),
            lift: Some(lift),
            outcome: None,
        }
    }
}

impl<L, U, R> HostSide for Closures<L, U, R>
where
    L: FnOnce(&CallShape, &mut LowerContext<'_>, &mut [Lane]) -> Result<()>,
    U: FnOnce(&CallShape, &mut LiftContext<'_>, &[Lane]) -> Result<R>,
{
    fn lower(
        &mut self,
        shape: &CallShape,
        cx: &mut LowerContext<'_>,
        lanes: &mut [Lane],
    ) -> Result<()> {
        match self.lower.take() {
            Some(lower) => lower(shape, cx, lanes),
            None => Err(Error::new(Bug("arguments that are lowered twice".into()))),
        }
    }

    fn lift(
        &mut self,
        shape: &CallShape,
        cx: &mut LiftContext<'_>,
        lanes: &[Lane],
    ) -> Result<bool> {
        if let Some(lift) = self.lift.take() {
            self.outcome = Some(Ok(lift(shape, cx, lanes)?));
        }
        Ok(true)
    }

    fn end(&mut self, how: Ending) {
        self.outcome = Some(Err(how));
    }
}
