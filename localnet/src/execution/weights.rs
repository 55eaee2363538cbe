//! What each Wasm instruction costs: the weights of the replica, given to the engine as fuel.

use wasmtime::OperatorCost;

/// What growing the memory weighs beyond the most that the engine's table can hold.
pub(super) const MEMORY_GROW_EXTRA: u64 = 300 - u8::MAX as u64;

/// Sets the weight of the operators named.
macro_rules! weigh {
    ($cost:ident: $($weight:expr => $($operator:ident)+;)*) => {
        $($($cost.$operator = $weight;)+)*
    };
}

/// Returns the weights of all instructions. Memory is dearer to reach where addresses have 64 bits.
///
/// Besides these the engine takes 1 on entry to each function, and 1 for each byte of a bulk operation on memory, as
/// the replica does.
pub(super) fn operator_cost(wasm64: bool) -> OperatorCost {
    let mut cost = OperatorCost::new();
    weigh! { cost:
        0 => Block Loop Else End;
        1 => Nop Drop Return Unreachable;
        2 => If Br BrIf BrTable;
        5 => Call;
        10 => CallIndirect;
        3 => ReturnCall;
        60 => ReturnCallIndirect;

        2 => GlobalGet GlobalSet;
        5 => TableGet TableSet RefIsNull;
        130 => RefFunc;
        20 => MemorySize;
        100 => TableSize MemoryFill MemoryCopy MemoryInit;

        10 => I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU;

        2 => F32Add F32Sub F32Mul F32Ceil F32Floor F32Trunc F32Nearest F32Copysign;
        2 => F64Add F64Sub F64Mul F64Ceil F64Floor F64Trunc F64Nearest;
        3 => F32Div F64Copysign;
        5 => F64Div F32Sqrt;
        8 => F64Sqrt;
        18 => F32Min F32Max F64Min F64Max;
        3 => F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F64Eq F64Ne F64Lt F64Gt F64Le F64Ge;
        3 => F32ConvertI32S F32ConvertI64S F64ConvertI32S F64ConvertI64S;
        16 => F32ConvertI32U F32ConvertI64U F64ConvertI32U F64ConvertI64U;
        20 => I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U;
        20 => I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U;
        20 => I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U;
        20 => I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U;

        2 => I8x16LtU I8x16GtU I16x8LtU I16x8GtU I32x4LtU I32x4GtU;
        2 => I8x16ShrU I16x8Shl I16x8ShrS I16x8ShrU I32x4Shl I32x4ShrS I32x4ShrU I64x2Shl I64x2ShrU;
        3 => I8x16Shl I8x16ShrS I64x2ShrS I8x16Shuffle I8x16Popcnt I32x4ExtAddPairwiseI16x8U;
        2 => I16x8ExtAddPairwiseI8x16U I16x8ExtMulHighI8x16S I16x8ExtMulHighI8x16U I32x4Mul;
        2 => I32x4ExtMulLowI16x8S I32x4ExtMulHighI16x8S I32x4ExtMulLowI16x8U I32x4ExtMulHighI16x8U;
        4 => I64x2Mul;
        2 => F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F32x4Abs F32x4Neg F32x4Add F32x4Sub F32x4Mul;
        2 => F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest F64x2Abs F64x2Neg F64x2Add F64x2Sub F64x2Mul;
        5 => F32x4Sqrt F64x2Max;
        14 => F64x2Sqrt;
        10 => F32x4Div;
        12 => F64x2Div;
        4 => F32x4Min F32x4Max F64x2Min I32x4TruncSatF32x4U F32x4ConvertI32x4U;
        2 => I32x4TruncSatF32x4S I32x4TruncSatF64x2SZero;
        3 => I32x4TruncSatF64x2UZero;
    }
    // The weight of these is 300, more than the engine's table can hold; `MEMORY_GROW_EXTRA` makes up for the first.
    weigh! { cost: u8::MAX => MemoryGrow DataDrop ElemDrop; }
    if wasm64 {
        weigh! { cost:
            2 => I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U;
            2 => I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U;
            2 => I32Store I64Store F32Store F64Store I32Store8 I32Store16 I64Store8 I64Store16 I64Store32;
            2 => V128Load V128Load8x8S V128Load8x8U V128Load16x4S V128Load16x4U V128Load32x2S V128Load32x2U;
            2 => V128Load8Splat V128Load16Splat V128Load32Splat V128Load64Splat V128Load32Zero V128Load64Zero;
            2 => V128Store V128Load8Lane V128Load16Lane V128Load32Lane V128Load64Lane;
            2 => V128Store8Lane V128Store16Lane V128Store32Lane V128Store64Lane;
        }
    }
    cost
}
