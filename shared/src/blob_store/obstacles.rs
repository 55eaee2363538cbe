//! Why the Internet Computer would not install a module.

use candid::CandidType;
use serde::Deserialize;

/// A rule of the Internet Computer that a valid Wasm binary breaks.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum Obstacle {
    /// Components are not run.
    #[error("it is a component, not a core module")]
    Component,
    /// An import is not of the system API, or has another type there.
    #[error("it imports `{name}` from `{module}`, which is not in the system API with that type")]
    Import {
        /// The module imported from.
        module: String,
        /// The name imported.
        name: String,
    },
    /// An export with a reserved prefix has an unknown name or a wrong type.
    #[error("it exports `{name}`, which the Internet Computer does not know or not with that type")]
    Export {
        /// The name exported.
        name: String,
    },
    /// A method is exported twice, as two kinds.
    #[error("it exports the method `{method}` more than once")]
    DuplicateMethod {
        /// The method.
        method: String,
    },
    /// Something there is more of than the Internet Computer allows.
    #[error("it has {count} of {what:?}, more than {max}")]
    TooMany {
        /// What it is.
        what: Countable,
        /// How much of it the module has.
        count: u64,
        /// How much is allowed.
        max: u64,
    },
    /// A feature of Wasm that the Internet Computer does not run.
    #[error("it uses a Wasm feature that the Internet Computer does not have (byte {offset}: {message})")]
    Feature {
        /// Where, in bytes of the uncompressed module.
        offset: u64,
        /// What, for a person.
        message: String,
    },
    /// An `icp:` custom section whose name is neither public nor private.
    #[error("its custom section `{name}` is neither `icp:public` nor `icp:private`")]
    CustomSectionName {
        /// The name of the section.
        name: String,
    },
    /// Two `icp:` custom sections have the same name.
    #[error("it has more than one `icp:` custom section `{name}`")]
    DuplicateCustomSection {
        /// The name without `icp:public ` or `icp:private `.
        name: String,
    },
}

/// What a module may have only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub enum Countable {
    /// Bytes of the code section.
    CodeSectionBytes,
    /// Functions.
    Functions,
    /// Instructions in one function.
    InstructionsInFunction,
    /// Complexity of one function: its instructions, weighted as the Internet Computer does.
    FunctionComplexity,
    /// Globals.
    Globals,
    /// Memories.
    Memories,
    /// Tables.
    Tables,
    /// Exported functions.
    ExportedFunctions,
    /// Bytes of the names of exported functions.
    ExportedNameBytes,
    /// `icp:` custom sections.
    CustomSections,
    /// Bytes of `icp:` custom sections, names included.
    CustomSectionBytes,
    /// Pages of memory at the start.
    InitialMemoryPages,
    /// Pages of memory that the module declares as the most it needs.
    MaximumMemoryPages,
}
