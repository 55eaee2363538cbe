//! The rules for single functions: size, complexity, and instructions that canisters may not use.

use wasmparser::{FunctionBody, Operator};

use super::InvalidWasm;
use crate::limits::MAX_FUNCTION_OPERATORS;

/// Greatest complexity of a function: the sum of what its instructions weigh for the compiler.
const MAX_FUNCTION_COMPLEXITY: usize = 1_000_000;

/// What is learned of a function.
pub(super) struct Summary {
    /// Number of its instructions.
    pub(super) instructions: u64,
    /// True when it has an instruction that drops a passive segment.
    pub(super) drops_segments: bool,
}

/// Examines the function at `index` among those that the module defines.
pub(super) fn examine(index: usize, body: &FunctionBody<'_>) -> Result<Summary, InvalidWasm> {
    let mut size = 0;
    let mut complexity = 0;
    let mut drops_segments = false;
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let operator = operators.read()?;
        if let Some(instruction) = forbidden(&operator) {
            return Err(InvalidWasm::UnsupportedInstruction { index, instruction });
        }
        drops_segments |= matches!(operator, Operator::DataDrop { .. } | Operator::ElemDrop { .. });
        size += 1;
        complexity += complexity_of(&operator);
    }
    if size > MAX_FUNCTION_OPERATORS {
        return Err(InvalidWasm::FunctionTooLarge { index, size, allowed: MAX_FUNCTION_OPERATORS });
    }
    if complexity > MAX_FUNCTION_COMPLEXITY {
        return Err(InvalidWasm::FunctionTooComplex { index, complexity, allowed: MAX_FUNCTION_COMPLEXITY });
    }
    Ok(Summary { instructions: size as u64, drops_segments })
}

/// Names the instruction if it changes a table, which canisters may not.
fn forbidden(operator: &Operator<'_>) -> Option<&'static str> {
    match operator {
        Operator::TableGrow { .. } => Some("table.grow"),
        Operator::TableSet { .. } => Some("table.set"),
        Operator::TableFill { .. } => Some("table.fill"),
        Operator::TableCopy { .. } => Some("table.copy"),
        Operator::TableInit { .. } => Some("table.init"),
        _ => None,
    }
}

/// Returns how much an instruction adds to the complexity of its function.
fn complexity_of(operator: &Operator<'_>) -> usize {
    use Operator::{
        Block, Br, BrIf, BrTable, Call, CallIndirect, F32Abs, F32Copysign, F32Neg, F64Abs, F64Copysign, F64Neg,
        GlobalGet, I32DivS, I32DivU, I32RemS, I32RemU, I64DivS, I64DivU, I64RemS, I64RemU, If, Loop, MemoryCopy,
        MemoryFill, MemoryGrow, MemorySize, RefFunc, RefIsNull, ReturnCall, ReturnCallIndirect, Select, TableGet,
    };
    match operator {
        Block { .. } | Loop { .. } | If { .. } | Br { .. } | BrIf { .. } | BrTable { .. } => 50,
        Call { .. } | CallIndirect { .. } | ReturnCall { .. } | ReturnCallIndirect { .. } | MemoryGrow { .. } => 50,
        TableGet { .. } => 14,
        RefFunc { .. } => 8,
        RefIsNull => 6,
        F32Neg | F32Abs | F64Neg | F64Abs | MemoryCopy { .. } => 4,
        F32Copysign | F64Copysign | MemoryFill { .. } => 3,
        I32DivS | I32DivU | I32RemS | I32RemU | I64DivS | I64DivU | I64RemS | I64RemU => 3,
        GlobalGet { .. } | Select | MemorySize { .. } => 2,
        _ => 1,
    }
}
