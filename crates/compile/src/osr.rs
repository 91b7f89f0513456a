//! On-stack replacement: a loop that quick code runs goes on in better code.
//!
//! ```text
//!   quick code                               continuation (optimised)
//!     ...                                      entry(context, [area], all locals)
//!     loop n:                                     |
//!       count; now and then:                      v
//!       code = loop_hot(function, n)           loop n: ... and all code that can follow
//!       code? tail call it with all locals ------>
//!       ...
//! ```
//!
//! A *continuation* is the whole function with its entry at the head of one loop. The quick
//! code's frame is left by a tail call, so that the continuation returns to the function's
//! caller, with the function's results. That needs the locals to be all there is: loops
//! that start with something on the operand stack are never left this way. Locals that are
//! not needed at the loop's head (`liveness`) go as zeros, so that quick code need not keep
//! them: in a big function that is most of them.
//!
//! Not here: who compiles continuations, and when (the embedder).

use crate::func::{FuncTranslator, bug, zero};
use crate::liveness::Live;
use crate::signature::WasmSignature;
use crate::types::{self, clif};
use cranelift_codegen::ir::{AbiParam, Block, InstBuilder, Signature, Type, Value};
use helve_base::builtin::Builtin;
use helve_base::core_type::FuncType;
use helve_base::{Error, Result};
use smallvec::SmallVec;
use wasmparser::FunctionBody;

/// Locals times loops that a function may have for its loops to be left: each local is handed
/// over at each loop, which quick code pays for.
const MOST: usize = 4096;

/// Where a function is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// At its start.
    Start,
    /// At the head of this loop, counted from the first `loop` of its body on.
    Loop(u32),
}

/// What the function under translation does about its loops.
#[derive(Default)]
pub(crate) struct Loops {
    /// Loops so far, in code that can't run too.
    seen: u32,
    /// It asks each time that these bits of its counter are zero.
    asks: Option<u32>,
    /// Which locals its loops need; all where that is not known.
    live: Option<Live>,
    /// The locals' types.
    types: Vec<Type>,
    /// The head of the loop that is entered, until that has come.
    entered: Option<(u32, Block)>,
}

/// The types of all locals of a function.
pub(crate) fn locals(ty: &FuncType, body: &FunctionBody<'_>) -> Result<Vec<Type>> {
    let mut locals: Vec<Type> = ty.params.iter().map(|&ty| clif(ty)).collect();
    for group in body.get_locals_reader()? {
        let (count, ty) = group?;
        let ty = clif(types::val_type(ty)?);
        // Validation bounds them: 50,000 at most.
        locals.resize(locals.len().saturating_add(count as usize), ty);
    }
    Ok(locals)
}

/// The signature of a continuation of a function.
pub(crate) fn signature(own: &WasmSignature, locals: &[Type]) -> Signature {
    let mut signature = own.clif.clone();
    let fixed = signature.params.len() - own.params.len();
    signature.params.truncate(fixed);
    signature
        .params
        .extend(locals.iter().map(|&ty| AbiParam::new(ty)));
    signature
}

impl Loops {
    /// The loops of a function that asks at them.
    pub(crate) fn asking(mask: u32, body: &FunctionBody<'_>, locals: &[Type]) -> Result<Loops> {
        Ok(Loops {
            asks: Some(mask),
            live: Live::new(body, locals.len())?,
            types: locals.into(),
            ..Loops::default()
        })
    }

    /// The type of a local that loop `n` does not need.
    fn idle(&self, n: u32, local: usize) -> Option<Type> {
        let needs = self.live.as_ref().is_none_or(|live| live.needs(n, local));
        if needs {
            None
        } else {
            self.types.get(local).copied()
        }
    }

    /// One more `loop`: its number.
    pub(crate) fn next(&mut self) -> u32 {
        self.seen += 1;
        self.seen - 1
    }

    /// The head of loop `n`, if that is where the function is entered.
    pub(crate) fn entered(&mut self, n: u32) -> Option<Block> {
        let (_, head) = self.entered.take_if(|(entered, _)| *entered == n)?;
        Some(head)
    }

    /// That the loop that is entered has come.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.entered {
            Some((n, _)) => Err(bug(format!("there is no loop {n} to enter"))),
            None => Ok(()),
        }
    }
}

/// Goes from a continuation's entry block, where the locals are its parameters, to loop
/// `n`, and starts the code before that, which is never run.
pub(crate) fn enter(t: &mut FuncTranslator<'_>, n: u32) {
    let head = t.b.create_block();
    t.b.ins().jump(head, &[]);
    let start = t.b.create_block();
    t.b.switch_to_block(start);
    t.b.seal_block(start);
    let params = &t.b.func.signature.params;
    let types: Vec<Type> = params.iter().map(|param| param.value_type).collect();
    let fixed = types.len().saturating_sub(t.locals.len());
    for (i, &ty) in types.iter().skip(fixed).enumerate() {
        let nothing = zero(&mut t.b, ty);
        t.b.def_var(t.locals[i], nothing);
    }
    t.loops.entered = Some((n, head));
}

/// At the head of loop `n`, where the counter has the value `count`: asks from time to time
/// for a continuation, and goes on there if there is one.
pub(crate) fn ask(t: &mut FuncTranslator<'_>, n: u32, count: Option<Value>) {
    let (Some(count), Some(mask), 0) = (count, t.loops.asks, t.stack.len()) else {
        return;
    };
    if t.locals.len().saturating_mul(n as usize + 1) > MOST {
        return;
    }
    let (asking, leaving, next) = (t.b.create_block(), t.b.create_block(), t.b.create_block());
    let i32 = cranelift_codegen::ir::types::I32;
    let mask = t.b.ins().iconst(i32, i64::from(mask));
    let due = t.b.ins().band(count, mask);
    t.b.ins().brif(due, next, &[], asking, &[]);
    t.b.seal_block(asking);

    t.b.switch_to_block(asking);
    t.b.set_cold_block(asking);
    let func = t.b.ins().iconst(i32, i64::from(t.func.as_u32()));
    let number = t.b.ins().iconst(i32, i64::from(n));
    let code = t
        .env
        .call_builtin(&mut t.b, Builtin::LoopHot, &[func, number]);
    // The row has a result.
    let Some(code) = code else { return };
    t.b.ins().brif(code, leaving, &[], next, &[]);
    t.b.seal_block(leaving);
    t.b.seal_block(next);

    t.b.switch_to_block(leaving);
    t.b.set_cold_block(leaving);
    let mut args: SmallVec<[Value; 16]> = SmallVec::new();
    args.push(t.env.vmctx);
    args.extend(t.env.result_area);
    let types: Vec<Type> = {
        let values = t
            .locals
            .iter()
            .enumerate()
            .map(|(i, &local)| match t.loops.idle(n, i) {
                Some(ty) => zero(&mut t.b, ty),
                None => t.b.use_var(local),
            });
        args.extend(values.collect::<SmallVec<[Value; 16]>>());
        let fixed = args.len() - t.locals.len();
        args[fixed..]
            .iter()
            .map(|&arg| t.b.func.dfg.value_type(arg))
            .collect()
    };
    let signature = signature(&t.env.own, &types);
    let signature = t.b.import_signature(signature);
    t.b.ins().return_call_indirect(signature, code, &args);

    t.b.switch_to_block(next);
}
