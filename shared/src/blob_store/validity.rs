//! Why bytes are not a module.

use candid::CandidType;
use serde::Deserialize;

/// Why bytes are not a valid Wasm module.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum InvalidModule {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// Neither Wasm nor gzip: the first bytes are not theirs.
    #[error("the file is neither Wasm nor gzip of Wasm")]
    NotWasm,
    /// The bytes end too early.
    #[error("the module is truncated: it ends unexpectedly at byte {offset}")]
    Truncated {
        /// Where the end was met, in bytes of the uncompressed module.
        offset: u64,
    },
    /// The gzip stream is damaged or truncated, its checksum or length is wrong, or bytes follow it.
    #[error("the gzip stream is damaged: {problem:?}")]
    CorruptGzip {
        /// What is wrong.
        problem: GzipProblem,
    },
    /// The module is larger than the Internet Computer takes once uncompressed.
    #[error("the module is larger than {max} bytes uncompressed")]
    TooLarge {
        /// Bytes allowed.
        max: u64,
    },
    /// The module breaks a rule of the Wasm specification.
    #[error("invalid Wasm at byte {offset}: {message}")]
    Malformed {
        /// Where, in bytes of the uncompressed module.
        offset: u64,
        /// The rule, for a person.
        message: String,
    },
    /// Finding out whether the module is valid would cost more than one message may: more instructions, or more memory.
    #[error(
        "validating the module would take more than {max_instructions} instructions or too much memory (given up at byte {offset})"
    )]
    TooComplex {
        /// How far the validation came, in bytes of the uncompressed module.
        offset: u64,
        /// Instructions that hashing and validating a module may take in all.
        max_instructions: u64,
    },
}

/// What is wrong with a gzip stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum GzipProblem {
    /// The header is malformed.
    Header,
    /// The compressed data is malformed.
    Data,
    /// The stream ends too early.
    Truncated,
    /// The checksum is wrong.
    Checksum,
    /// The length in the trailer is wrong.
    Length,
    /// Bytes follow the stream.
    TrailingBytes,
}
