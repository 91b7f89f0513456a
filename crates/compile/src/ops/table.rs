//! Tables: reading and writing one element inline, all else by routines of the VM.

use crate::bounds::{table_address, table_len, widen};
use crate::func::FuncTranslator;
use crate::types::POINTER;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use helve_base::Trap;
use helve_base::builtin::Builtin;
use helve_base::id::*;
use wasmparser::Operator;

/// Translates an instruction on tables.
pub(crate) fn translate(t: &mut FuncTranslator<'_>, op: &Operator<'_>) -> bool {
    match *op {
        Operator::TableGet { table } => {
            let index = t.stack.pop();
            let table = TableIndex::from_u32(table);
            let at = table_address(t, table, index, Trap::TableOutOfBounds);
            let element = t.b.ins().load(POINTER, at.flags, at.base, at.offset);
            t.stack.push(element);
        }
        Operator::TableSet { table } => {
            let (index, value) = t.stack.pop2();
            let table = TableIndex::from_u32(table);
            let at = table_address(t, table, index, Trap::TableOutOfBounds);
            t.b.ins().store(at.flags, value, at.base, at.offset);
        }
        Operator::TableSize { table } => {
            let len = table_len(t, TableIndex::from_u32(table));
            push_length(t, table, len);
        }
        Operator::TableGrow { table } => {
            let (value, delta) = t.stack.pop2();
            let delta = widen(t, delta);
            let which = number(t, table);
            let args = [which, delta, value];
            if let Some(before) = t.env.call_builtin(&mut t.b, Builtin::TableGrow, &args) {
                t.charge_grown(delta, before);
                push_length(t, table, before);
            }
        }
        Operator::TableFill { table } => {
            let (index, value, len) = t.stack.pop3();
            let (index, len) = (widen(t, index), widen(t, len));
            t.charge_elements(len, TableIndex::from_u32(table));
            let which = number(t, table);
            t.env
                .call_builtin(&mut t.b, Builtin::TableFill, &[which, index, value, len]);
        }
        Operator::TableCopy {
            dst_table,
            src_table,
        } => {
            let (to, from, len) = t.stack.pop3();
            let (to, from, len) = (widen(t, to), widen(t, from), widen(t, len));
            t.charge_elements(len, TableIndex::from_u32(dst_table));
            let (dst, src) = (number(t, dst_table), number(t, src_table));
            t.env
                .call_builtin(&mut t.b, Builtin::TableCopy, &[dst, src, to, from, len]);
        }
        Operator::TableInit { elem_index, table } => {
            let (to, from, len) = t.stack.pop3();
            let to = widen(t, to);
            let elements = widen(t, len);
            t.charge_elements(elements, TableIndex::from_u32(table));
            let (table, elem) = (number(t, table), number(t, elem_index));
            t.env
                .call_builtin(&mut t.b, Builtin::TableInit, &[table, elem, to, from, len]);
        }
        Operator::ElemDrop { elem_index } => {
            let elem = number(t, elem_index);
            t.env.call_builtin(&mut t.b, Builtin::ElemDrop, &[elem]);
        }
        _ => return false,
    }
    true
}

/// An index that an instruction names, as routines of the VM take it.
pub(crate) fn number(t: &mut FuncTranslator<'_>, index: u32) -> Value {
    t.b.ins().iconst(types::I32, i64::from(index))
}

/// Pushes a length, which routines count in 64 bits, as wide as the table's indices.
fn push_length(t: &mut FuncTranslator<'_>, table: u32, len: Value) {
    let table64 = t.env.module.tables[TableIndex::from_u32(table)].table64;
    let len = if table64 {
        len
    } else {
        t.b.ins().ireduce(types::I32, len)
    };
    t.stack.push(len);
}
