//! Validates the bodies of functions and measures them on the way, by opcode.
//!
//! Opcodes are looked at as bytes, beside the validation: decoding each instruction once more to match on it would
//! make the pass, which is most of the cost of an inspection, dearer by half.

use wasmparser::{BinaryReader, FuncValidator, FunctionBody, ValidatorResources};

use super::budget::{Budget, Stop};

/// Instructions of a function between two looks at the budget. The dearest ones, but for those that are looked at before,
/// take some 500,000 each: one that makes a structure of 10,000 fields, for instance.
const INSTRUCTIONS_BETWEEN_CHECKS: u32 = 256;
/// What the check of one value at one target of a branch takes, roughly.
const COST_OF_VALUE: u64 = 50;
/// The same for the target of a handler of exceptions.
const COST_OF_HANDLED_VALUE: u64 = 200;

const BR_TABLE: u8 = 0x0e;
const TRY_TABLE: u8 = 0x1f;
/// What types of references begin with, 0x63 and 0x64, read as numbers.
const REFERENCES: [i64; 2] = [-0x1d, -0x1c];
const TABLE_SET: u8 = 0x26;
/// Begins the instructions on memories and tables as a whole, and saturating conversions.
const PREFIX_MISC: u8 = 0xfc;

/// What a function is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Instructions, the final `end` included.
    pub(super) instructions: u64,
    /// The replica's weighted number of instructions.
    pub(super) complexity: u64,
    /// The first instruction that the Internet Computer does not run though it has the feature.
    pub(super) forbidden: Option<Forbidden>,
}

/// An instruction that the Internet Computer does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forbidden {
    /// Where it is in the module.
    pub(super) offset: u64,
    /// Why, for a person.
    pub(super) message: &'static str,
}

/// Validates a function and measures it. No block or function of the module takes or gives more than `max_arity` values.
///
/// # Errors
/// [`Stop`] when it breaks a rule, or when the budget is used up.
pub(super) fn validate(
    function: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    max_arity: u64,
    budget: Budget<'_>,
) -> Result<Measure, Stop> {
    go_through::<true>(function, body, max_arity, budget)
}

/// Validates a function of which nothing else has to be known.
///
/// # Errors
/// As [`validate`].
pub(super) fn validate_only(
    function: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    max_arity: u64,
    budget: Budget<'_>,
) -> Result<(), Stop> {
    go_through::<false>(function, body, max_arity, budget).map(|_| ())
}

fn go_through<const MEASURED: bool>(
    function: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    max_arity: u64,
    budget: Budget<'_>,
) -> Result<Measure, Stop> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    reader.set_features(*function.features());
    let bytes = body.as_bytes();
    let mut measure = Measure::default();
    let mut until_check = 0;
    while !reader.eof() {
        let offset = reader.original_position();
        let instruction = &bytes[reader.current_position()..];
        if until_check == 0 {
            budget.check(0, offset)?;
            until_check = INSTRUCTIONS_BETWEEN_CHECKS;
        }
        until_check -= 1;
        if let Some(cost) = cost_of_targets(instruction, offset) {
            budget.check((1 + max_arity).saturating_mul(cost), offset)?;
        }
        reader.visit_operator(&mut function.visitor(offset))??;
        if MEASURED {
            measure.count(instruction, offset)?;
        }
    }
    reader.finish_expression(&function.visitor(reader.original_position()))?;
    Ok(measure)
}

/// Returns what an instruction costs, for each value of a block, that can have any number of targets. What cannot be read
/// has no cost: the validation says why.
fn cost_of_targets(instruction: &[u8], offset: u64) -> Option<u64> {
    let (opcode, operands) = instruction.split_first()?;
    if !matches!(*opcode, BR_TABLE | TRY_TABLE) {
        return None;
    }
    let mut reader = BinaryReader::new(operands, offset + 1);
    // Behind the type of the block: a number, or a reference and the number of what it refers to.
    if *opcode == TRY_TABLE && REFERENCES.contains(&reader.read_var_s33().ok()?) {
        reader.read_var_s33().ok()?;
    }
    let cost = if *opcode == BR_TABLE { COST_OF_VALUE } else { COST_OF_HANDLED_VALUE };
    Some(u64::from(reader.read_var_u32().ok()?) * cost)
}

impl Measure {
    /// Counts the instruction that the bytes begin with, which is a valid one.
    fn count(&mut self, instruction: &[u8], offset: u64) -> Result<(), wasmparser::Error> {
        let Some((opcode, operands)) = instruction.split_first() else {
            return Ok(());
        };
        self.instructions += 1;
        let (weight, message) = match *opcode {
            PREFIX_MISC => misc(BinaryReader::new(operands, offset + 1).read_var_u32()?),
            TABLE_SET => (1, Some("table.set is not run")),
            opcode => (u64::from(WEIGHTS[usize::from(opcode)]), None),
        };
        self.complexity += weight;
        if let (None, Some(message)) = (self.forbidden, message) {
            self.forbidden = Some(Forbidden { offset, message });
        }
        Ok(())
    }
}

/// Returns the weight of an instruction behind the prefix `0xfc`, and why it is not run.
fn misc(opcode: u32) -> (u64, Option<&'static str>) {
    match opcode {
        // Saturating conversions, memory.fill, memory.copy.
        0..=7 | 11 => (3, None),
        10 => (4, None),
        12 => (1, Some("table.init is not run")),
        14 => (1, Some("table.copy is not run")),
        15 => (1, Some("table.grow is not run")),
        17 => (1, Some("table.fill is not run")),
        _ => (1, None),
    }
}

/// How much each one-byte opcode adds to the complexity of a function.
///
/// The weights are the replica's (`wasm_function_complexity` in `rs/embedders/src/wasm_utils/validation.rs`).
static WEIGHTS: [u8; 256] = {
    /// Opcodes from the first to the last one, and their weight. Later rows override earlier ones.
    const RANGES: [(u8, u8, u8); 28] = [
        // block, loop, if, br, br_if, br_table, call, call_indirect
        (0x02, 0x04, 50),
        (0x0c, 0x0e, 50),
        (0x10, 0x11, 50),
        // select, global.get, table.get
        (0x1b, 0x1b, 2),
        (0x23, 0x23, 2),
        (0x25, 0x25, 14),
        // loads, stores, memory.size, memory.grow
        (0x28, 0x35, 3),
        (0x36, 0x3e, 2),
        (0x3f, 0x3f, 2),
        (0x40, 0x40, 50),
        // comparisons; f64.eq is dearer
        (0x45, 0x66, 2),
        (0x61, 0x61, 3),
        // popcnt, div and rem of i32 and i64
        (0x69, 0x69, 2),
        (0x6d, 0x70, 3),
        (0x7b, 0x7b, 2),
        (0x7f, 0x82, 3),
        // f32: abs and neg, ceil to trunc, sqrt, copysign; then f64
        (0x8b, 0x8c, 4),
        (0x8d, 0x8f, 2),
        (0x91, 0x91, 2),
        (0x98, 0x98, 3),
        (0x99, 0x9a, 4),
        (0x9b, 0x9d, 2),
        (0x9f, 0x9f, 2),
        (0xa6, 0xa6, 3),
        // conversions; i32.wrap_i64, f64.promote_f32, reinterpretations of floats and sign extensions are cheaper
        (0xa8, 0xba, 5),
        (0xa7, 0xa7, 2),
        (0xbb, 0xbd, 2),
        (0xc0, 0xc4, 2),
    ];
    let mut weights = [1; 256];
    let mut row = 0;
    while row < RANGES.len() {
        let (first, last, weight) = RANGES[row];
        let mut opcode = first;
        while opcode <= last {
            weights[opcode as usize] = weight;
            opcode += 1;
        }
        row += 1;
    }
    // ref.is_null, ref.func
    weights[0xd1] = 6;
    weights[0xd2] = 8;
    weights
};
