//! Structured control flow: blocks, loops, branches, returns; and code that can't run.
//!
//! ```text
//!  block   ... br 0 --> [end](results)
//!  loop    [header](params) ... br 0 --> [header]
//!  if      brif c, [then], [else]     both end in [end](results)
//!  function: a block whose end returns
//!  try_table: a block; what its handlers do stands behind it (`exception`)
//! ```
//!
//! An `end` block is only made when something jumps to it; without a jump, code just goes
//! on. After a branch that always leaves, instructions are skipped (their operands need
//! not exist) until the enclosing block's `else` or `end`.

use crate::func::{FuncTranslator, bug};
use crate::ops::exception;
use crate::trap_code;
use crate::types::{self, clif};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, InstBuilder, JumpTableData, TrapCode, Type, Value,
};
use helve_base::id::*;
use helve_base::{Result, Trap};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use wasmparser::{BlockType, BrTable, Operator};

/// An open block.
pub(crate) struct Frame {
    kind: Kind,
    /// How many operands were there below its parameters.
    height: usize,
    params: Vec<Type>,
    results: Results,
    /// Where its `end` is, once something jumps there.
    end: Option<Block>,
}

enum Kind {
    Function,
    Block,
    Try,
    Loop {
        header: Block,
    },
    /// An `if` whose `else` has not come yet: where that is, and what it starts with.
    If {
        otherwise: Block,
        params: SmallVec<[Value; 4]>,
    },
    Else,
}

enum Results {
    /// Those of the function itself.
    Own(usize),
    Types(Vec<Type>),
}

impl Frame {
    /// The frame of the function itself.
    pub(crate) fn function(results: usize) -> Frame {
        let results = Results::Own(results);
        Frame {
            kind: Kind::Function,
            height: 0,
            params: Vec::new(),
            results,
            end: None,
        }
    }

    fn results(&self) -> usize {
        match &self.results {
            Results::Own(n) => *n,
            Results::Types(types) => types.len(),
        }
    }

    /// How many values a branch to it takes.
    fn arity(&self) -> usize {
        match self.kind {
            Kind::Loop { .. } => self.params.len(),
            _ => self.results(),
        }
    }
}

pub(super) fn args(values: &[Value]) -> SmallVec<[BlockArg; 8]> {
    values.iter().map(|&value| BlockArg::Value(value)).collect()
}

/// Translates a control instruction in code that can run.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> Result<bool> {
    match op {
        Operator::Nop => {}
        Operator::Unreachable => trap(t, trap_code(Trap::Unreachable)),
        Operator::Block { blockty } => {
            let (params, results) = block_type(t, *blockty)?;
            open(t, Kind::Block, params, results);
        }
        Operator::TryTable { try_table } => {
            let (params, results) = block_type(t, try_table.ty)?;
            open(t, Kind::Try, params, results);
            exception::open(t, try_table);
        }
        Operator::Loop { blockty } => begin_loop(t, *blockty)?,
        Operator::If { blockty } => begin_if(t, *blockty)?,
        Operator::Else => begin_else(t)?,
        Operator::End => end(t)?,
        Operator::Br { relative_depth } => {
            branch(t, *relative_depth)?;
            t.reachable = false;
        }
        Operator::BrIf { relative_depth } => branch_if(t, *relative_depth)?,
        Operator::BrTable { targets } => branch_table(t, targets)?,
        Operator::BrOnNull { relative_depth } => branch_on_null(t, *relative_depth)?,
        Operator::BrOnNonNull { relative_depth } => branch_on_non_null(t, *relative_depth)?,
        Operator::Return => {
            let results = t.env.own.results.len();
            let values = t.top(results);
            t.return_values(&values);
            t.reachable = false;
        }
        Operator::Drop => {
            t.stack.pop();
        }
        Operator::Select | Operator::TypedSelect { .. } => {
            let (a, b, condition) = t.stack.pop3();
            let a = crate::stack::canonical(&mut t.b, a);
            let b = crate::stack::canonical(&mut t.b, b);
            let chosen = t.b.ins().select(condition, a, b);
            t.stack.push(chosen);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Steps over an instruction that can't run, watching for where code lives again.
pub(crate) fn skip(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> Result<()> {
    match op {
        Operator::Loop { .. } => {
            t.loops.next();
            t.skipped += 1;
        }
        Operator::Block { .. } | Operator::If { .. } => t.skipped += 1,
        Operator::TryTable { .. } => t.skipped += 1,
        Operator::Else if t.skipped == 0 => begin_else(t)?,
        Operator::End if t.skipped == 0 => end(t)?,
        Operator::End => t.skipped -= 1,
        _ => {}
    }
    Ok(())
}

/// Traps here, always.
pub(crate) fn trap(t: &mut FuncTranslator<'_>, code: TrapCode) {
    t.b.ins().trap(code);
    t.reachable = false;
}

fn block_type(t: &FuncTranslator<'_>, ty: BlockType) -> Result<(Vec<Type>, Vec<Type>)> {
    Ok(match ty {
        BlockType::Empty => (Vec::new(), Vec::new()),
        BlockType::Type(ty) => (Vec::new(), vec![clif(types::val_type(ty)?)]),
        BlockType::FuncType(index) => {
            let ty = &t.env.module.types[TypeIndex::from_u32(index)];
            let list = |types: &[_]| types.iter().map(|&ty| clif(ty)).collect();
            (list(&ty.params), list(&ty.results))
        }
    })
}

fn open(t: &mut FuncTranslator<'_>, kind: Kind, params: Vec<Type>, results: Vec<Type>) {
    let height = t.stack.len().saturating_sub(params.len());
    let results = Results::Types(results);
    t.control.push(Frame {
        kind,
        height,
        params,
        results,
        end: None,
    });
}

fn block_with_params(t: &mut FuncTranslator<'_>, params: &[Type]) -> Block {
    let block = t.b.create_block();
    for &ty in params {
        t.b.append_block_param(block, ty);
    }
    block
}

fn begin_loop(t: &mut FuncTranslator<'_>, ty: BlockType) -> Result<()> {
    let (params, results) = block_type(t, ty)?;
    let number = t.loops.next();
    let header = match t.loops.entered(number) {
        Some(header) if params.is_empty() && t.stack.len() == 0 => header,
        Some(_) => return Err(bug(format!("loop {number} starts with operands"))),
        None => block_with_params(t, &params),
    };
    let values = t.top(params.len());
    t.b.ins().jump(header, &args(&values));
    t.b.switch_to_block(header);
    t.stack.drop_n(params.len());
    t.stack.push_all(t.b.block_params(header));
    open(t, Kind::Loop { header }, params, results);
    let count = t.count();
    crate::osr::ask(t, number, count);
    Ok(())
}

fn begin_if(t: &mut FuncTranslator<'_>, ty: BlockType) -> Result<()> {
    let (params, results) = block_type(t, ty)?;
    let condition = t.stack.pop();
    let then = t.b.create_block();
    let otherwise = t.b.create_block();
    t.b.ins().brif(condition, then, &[], otherwise, &[]);
    t.b.seal_block(then);
    t.b.seal_block(otherwise);
    t.b.switch_to_block(then);
    let saved = t.stack.peek_n(params.len()).into();
    open(
        t,
        Kind::If {
            otherwise,
            params: saved,
        },
        params,
        results,
    );
    Ok(())
}

fn begin_else(t: &mut FuncTranslator<'_>) -> Result<()> {
    if t.reachable {
        branch(t, 0)?;
    }
    let Some(frame) = t.control.last_mut() else {
        return Err(bug("`else` outside of everything".into()));
    };
    let Kind::If { otherwise, params } = std::mem::replace(&mut frame.kind, Kind::Else) else {
        return Err(bug("`else` without `if`".into()));
    };
    t.stack.truncate(frame.height);
    t.stack.push_all(&params);
    t.b.switch_to_block(otherwise);
    t.reachable = true;
    Ok(())
}

fn end(t: &mut FuncTranslator<'_>) -> Result<()> {
    // An `if` without `else` hands its parameters on as its results.
    if t.control
        .last()
        .is_some_and(|frame| matches!(frame.kind, Kind::If { .. }))
    {
        begin_else(t)?;
    }
    let Some(frame) = t.control.last() else {
        return Err(bug("`end` outside of everything".into()));
    };
    let catches = matches!(frame.kind, Kind::Try) && exception::catches(t);
    if t.reachable && (frame.end.is_some() || catches) {
        branch(t, 0)?;
    }
    let Some(frame) = t.control.pop() else {
        return Err(bug("`end` outside of everything".into()));
    };
    match frame.kind {
        Kind::Loop { header } => t.b.seal_block(header),
        Kind::Try => exception::close(t)?,
        _ => {}
    }
    if let Some(end) = frame.end {
        t.b.switch_to_block(end);
        t.b.seal_block(end);
        t.stack.truncate(frame.height);
        t.stack.push_all(t.b.block_params(end));
        t.reachable = true;
    }
    if !t.reachable {
        // Nothing comes out of this block: what the stack holds above it is of no use.
        t.stack.truncate(frame.height);
    } else if let Kind::Function = frame.kind {
        let values = t.top(frame.results());
        t.return_values(&values);
        t.reachable = false;
    }
    Ok(())
}

/// The block that a branch to the frame `depth` levels out jumps to, and its arity.
pub(super) fn target(t: &mut FuncTranslator<'_>, depth: u32) -> Result<(Block, usize)> {
    let index = (t.control.len().checked_sub(1)).and_then(|last| last.checked_sub(depth as usize));
    let Some(frame) = index.and_then(|index| t.control.get_mut(index)) else {
        return Err(bug(format!(
            "a branch leaves {depth} blocks, more than there are"
        )));
    };
    let arity = frame.arity();
    if let Kind::Loop { header } = frame.kind {
        return Ok((header, arity));
    }
    if let Some(end) = frame.end {
        return Ok((end, arity));
    }
    let end = *frame.end.insert(t.b.create_block());
    match &frame.results {
        Results::Types(types) => {
            for &ty in types {
                t.b.append_block_param(end, ty);
            }
        }
        Results::Own(_) => {
            for &(ty, _) in &t.env.own.results {
                t.b.append_block_param(end, ty);
            }
        }
    }
    Ok((end, arity))
}

fn branch(t: &mut FuncTranslator<'_>, depth: u32) -> Result<()> {
    let (block, arity) = target(t, depth)?;
    let values = t.top(arity);
    t.b.ins().jump(block, &args(&values));
    Ok(())
}

fn branch_if(t: &mut FuncTranslator<'_>, depth: u32) -> Result<()> {
    let condition = t.stack.pop();
    branch_on(t, depth, condition)
}

/// The label does not get the null; what follows gets the reference.
fn branch_on_null(t: &mut FuncTranslator<'_>, depth: u32) -> Result<()> {
    let reference = t.stack.pop();
    let is_null = t.b.ins().icmp_imm_u(IntCC::Equal, reference, 0);
    branch_on(t, depth, is_null)?;
    t.stack.push(reference);
    Ok(())
}

/// The label gets the reference; what follows does not get the null.
fn branch_on_non_null(t: &mut FuncTranslator<'_>, depth: u32) -> Result<()> {
    let reference = t.stack.peek();
    branch_on(t, depth, reference)?;
    t.stack.pop();
    Ok(())
}

/// Branches where `condition` is not zero, goes on else.
pub(crate) fn branch_on(t: &mut FuncTranslator<'_>, depth: u32, condition: Value) -> Result<()> {
    let (block, arity) = target(t, depth)?;
    let values = t.top(arity);
    let next = t.b.create_block();
    t.b.ins().brif(condition, block, &args(&values), next, &[]);
    t.b.seal_block(next);
    t.b.switch_to_block(next);
    Ok(())
}

/// Labels that take values get a block of their own, once per label: the table then holds
/// no values, however many entries it has.
fn branch_table(t: &mut FuncTranslator<'_>, table: &BrTable<'_>) -> Result<()> {
    let index = t.stack.pop();
    let mut by_depth: BTreeMap<u32, Block> = BTreeMap::new();
    let mut edges: Vec<(Block, u32)> = Vec::new();
    let mut calls = Vec::with_capacity(table.len() as usize + 1);
    let default = [Ok(table.default())].into_iter();
    for depth in default.chain(table.targets()) {
        let depth = depth?;
        let block = match by_depth.get(&depth) {
            Some(&block) => block,
            None => {
                let (block, arity) = target(t, depth)?;
                let block = if arity == 0 {
                    block
                } else {
                    let edge = t.b.create_block();
                    edges.push((edge, depth));
                    edge
                };
                by_depth.insert(depth, block);
                block
            }
        };
        calls.push(BlockCall::new(block, [], &mut t.b.func.dfg.value_lists));
    }
    let Some((default, rest)) = calls.split_first() else {
        return Err(bug("a branch table without a default".into()));
    };
    let table = t.b.create_jump_table(JumpTableData::new(*default, rest));
    t.b.ins().br_table(index, table);
    for (edge, depth) in edges {
        t.b.seal_block(edge);
        t.b.switch_to_block(edge);
        branch(t, depth)?;
    }
    t.reachable = false;
    Ok(())
}
