//! Which locals are still needed at the heads of loops: backwards over a body until nothing
//! changes.
//!
//! ```text
//!   get i       i is needed before          br l      what is needed at l, and no more
//!   set i       i is not                    end       what is needed behind the block
//! ```
//!
//! What is needed at a loop's head is what its body needs, and what a branch back to it
//! needs is that; so the walk is made again with what the last one found, from nothing on.
//! Producers keep temporaries in locals: of the many that a big function has, few are needed
//! at a loop's head, and the others need no place there.
//!
//! Not here: who asks (`osr`).

use helve_base::Result;
use wasmparser::{FunctionBody, Operator};

/// Locals and walks up to which it is worth the time; beyond, all locals count as needed.
const MOST_LOCALS: usize = 1024;
const MOST_WALKS: usize = 12;

/// A set of locals.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn none(locals: usize) -> Set {
        Set(vec![0; locals.div_ceil(64)])
    }

    fn insert(&mut self, i: u32) {
        if let Some(word) = self.0.get_mut(i as usize / 64) {
            *word |= 1 << (i % 64);
        }
    }

    fn remove(&mut self, i: u32) {
        if let Some(word) = self.0.get_mut(i as usize / 64) {
            *word &= !(1 << (i % 64));
        }
    }

    fn has(&self, i: usize) -> bool {
        self.0
            .get(i / 64)
            .is_none_or(|word| word >> (i % 64) & 1 != 0)
    }

    fn add(&mut self, other: &Set) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }
}

/// What matters of an instruction.
enum Step {
    Get(u32),
    Set(u32),
    /// The start of a block or of an `if`.
    Open,
    If,
    Else,
    /// The start of this loop.
    Loop(usize),
    /// The end of a block, or of the loop of this number.
    End(Option<usize>),
    /// May branch to this label.
    Maybe(u32),
    /// Branches to one of these labels, or leaves the function where there are none.
    Leaves(Vec<u32>),
}

/// An open block, seen from its end.
struct Frame {
    /// What is needed behind it.
    after: Set,
    /// What is needed at the start of its `else`.
    otherwise: Option<Set>,
    /// Its number, if it is a loop.
    number: Option<usize>,
}

/// What is needed at the heads of a function's loops.
pub(crate) struct Live(Vec<Set>);

impl Live {
    /// Of a body with so many locals; `None`: all may be, at every loop.
    pub(crate) fn new(body: &FunctionBody<'_>, locals: usize) -> Result<Option<Live>> {
        if locals > MOST_LOCALS {
            return Ok(None);
        }
        let Some((steps, loops)) = steps(body)? else {
            return Ok(None);
        };
        let mut heads = vec![Set::none(locals); loops];
        if loops == 0 {
            return Ok(Some(Live(heads)));
        }
        for _ in 0..MOST_WALKS {
            match walk(&steps, &mut heads, locals) {
                Some(true) => {}
                Some(false) => return Ok(Some(Live(heads))),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether a local is needed at the head of loop `n`.
    pub(crate) fn needs(&self, n: u32, local: usize) -> bool {
        self.0.get(n as usize).is_none_or(|set| set.has(local))
    }
}

/// The steps of a body, and how many loops it has; `None` where exceptions are caught, which
/// may come from anywhere.
fn steps(body: &FunctionBody<'_>) -> Result<Option<(Vec<Step>, usize)>> {
    let (mut steps, mut loops, mut open) = (Vec::new(), 0, Vec::new());
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        steps.push(match reader.read()? {
            Operator::LocalGet { local_index } => Step::Get(local_index),
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                Step::Set(local_index)
            }
            Operator::Block { .. } => {
                open.push(None);
                Step::Open
            }
            Operator::If { .. } => {
                open.push(None);
                Step::If
            }
            Operator::Else => Step::Else,
            Operator::Loop { .. } => {
                open.push(Some(loops));
                loops += 1;
                Step::Loop(loops - 1)
            }
            Operator::End => Step::End(open.pop().flatten()),
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth } => Step::Maybe(relative_depth),
            Operator::Br { relative_depth } => Step::Leaves(vec![relative_depth]),
            Operator::BrTable { targets } => {
                let labels: std::result::Result<Vec<u32>, _> = targets.targets().collect();
                let mut labels = labels?;
                labels.push(targets.default());
                labels.sort_unstable();
                labels.dedup();
                Step::Leaves(labels)
            }
            Operator::Return
            | Operator::Unreachable
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => Step::Leaves(Vec::new()),
            Operator::TryTable { .. } => return Ok(None),
            _ => continue,
        });
    }
    Ok(Some((steps, loops)))
}

/// One walk, from the end: whether it changed `heads`; `None` where blocks don't match, which
/// validation has ruled out.
fn walk(steps: &[Step], heads: &mut [Set], locals: usize) -> Option<bool> {
    let mut changed = false;
    let mut live = Set::none(locals);
    let mut frames: Vec<Frame> = Vec::new();
    for step in steps.iter().rev() {
        match step {
            Step::Get(i) => live.insert(*i),
            Step::Set(i) => live.remove(*i),
            Step::End(number) => frames.push(Frame {
                after: live.clone(),
                otherwise: None,
                number: *number,
            }),
            Step::Open => _ = frames.pop()?,
            Step::Else => {
                let frame = frames.last_mut()?;
                frame.otherwise = Some(std::mem::replace(&mut live, frame.after.clone()));
            }
            Step::If => {
                let frame = frames.pop()?;
                live.add(frame.otherwise.as_ref().unwrap_or(&frame.after));
            }
            Step::Loop(n) => {
                frames.pop()?;
                let head = heads.get_mut(*n)?;
                if *head != live {
                    // What was needed stays so: it only grows.
                    live.add(head);
                    changed |= *head != live;
                    head.clone_from(&live);
                }
            }
            Step::Maybe(label) => live.add(target(&frames, heads, *label)?),
            Step::Leaves(labels) => {
                live = Set::none(locals);
                for label in labels {
                    live.add(target(&frames, heads, *label)?);
                }
            }
        }
    }
    Some(changed)
}

/// What is needed where a branch to `label` goes.
fn target<'a>(frames: &'a [Frame], heads: &'a [Set], label: u32) -> Option<&'a Set> {
    let frame = frames.iter().rev().nth(label as usize)?;
    match frame.number {
        Some(n) => heads.get(n),
        None => Some(&frame.after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each loop of a function with three locals, those that are needed at its head.
    fn needed(body: &str) -> Vec<Vec<usize>> {
        let text = format!("(module (func $f (local i32 i32 i32) {body}))");
        let wasm = wat::parse_str(text).expect("a module");
        for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
            if let wasmparser::Payload::CodeSectionEntry(body) = payload.expect("well-formed") {
                let live = Live::new(&body, 3).expect("reads").expect("no exceptions");
                let loops = 0..live.0.len() as u32;
                return loops
                    .map(|n| (0..3).filter(|&i| live.needs(n, i)).collect())
                    .collect();
            }
        }
        Vec::new()
    }

    #[test]
    fn locals_are_needed_until_their_last_use() {
        let uses = "(drop (local.get 0))";
        let sets = "(local.set 1 (i32.const 1)) (drop (local.get 1))";
        let none: &[usize] = &[];
        assert_eq!(needed(&format!("(loop {uses} {sets} br 0)")), [[0]]);
        assert_eq!(
            needed(&format!("(loop {sets} (br_if 0 (i32.const 1))) {uses}")),
            [[0]]
        );
        // Set on one way only; set behind the back edge; needed only after it was set.
        let one_way = "(if (i32.const 1) (then (local.set 2 (i32.const 1)))) (drop (local.get 2))";
        assert_eq!(needed(&format!("(loop {one_way} (br 0))")), [[2]]);
        let both = "(if (i32.const 1) (then (local.set 2 (i32.const 1))) (else (local.set 2 (i32.const 1)))) (drop (local.get 2))";
        assert_eq!(needed(&format!("(loop {both} (br 0))")), [none]);
        assert_eq!(
            needed(
                "(loop (block (br_if 0 (i32.const 1)) (drop (local.get 2)) (br 1)) (local.set 2 (i32.const 1)) (br 0))"
            ),
            [[2]]
        );
        // An interpreter: what one case keeps in a local is no other's business.
        let cases = format!(
            "(loop (block (block (br_table 0 1 (local.get 0))) {sets} (br 1)) (local.set 2 (i32.const 3)) (local.set 0 (local.get 2)) (br 0))"
        );
        assert_eq!(needed(&cases), [[0]]);
        // What the inner loop hands to the outer one's next turn.
        let nested = "(loop (drop (local.get 1)) (loop (local.set 1 (local.get 2)) (br_if 0 (i32.const 1))) (br 0))";
        assert_eq!(needed(nested), [vec![1, 2], vec![2]]);
        assert_eq!(
            needed(&format!("(block (loop (br 1))) {uses} return {sets}")),
            [[0]]
        );
        assert_eq!(
            needed(&format!("(loop (br_if 0 (i32.const 1)) return) {uses}")),
            [none]
        );
    }
}
