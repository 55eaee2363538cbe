//! State directories: networks are written to files and read back.

pub(crate) mod shared;
