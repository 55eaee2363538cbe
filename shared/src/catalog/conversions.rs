//! Errors that several methods have in common, as the errors of each.

use super::{CommitError, Denied, MergeError, ModuleError, PublishError, TreeError, UndoError};

impl From<TreeError> for CommitError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::PathConflict { path, existing } => Self::PathConflict { path, existing },
            TreeError::FolderFull { path, max } => Self::FolderFull { path, max },
            TreeError::FoldersTooLarge { max } => Self::FoldersTooLarge { max },
            TreeError::TooManyPaths { max } => Self::TooManyPaths { max },
        }
    }
}

impl From<Denied> for CommitError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::AnonymousCaller => Self::AnonymousCaller,
            Denied::NotAllowed { caller } | Denied::NotController { caller } => Self::NotAllowed { caller },
            Denied::ProtectedBranch { branch } => Self::ProtectedBranch { branch },
            Denied::Importing => Self::Importing,
        }
    }
}

impl From<ModuleError> for CommitError {
    fn from(error: ModuleError) -> Self {
        match error {
            ModuleError::UnknownModule { module_hash } => Self::UnknownModule { module_hash },
            ModuleError::NotHolder { blob_store } => Self::NotHolder { blob_store },
            ModuleError::BlobStoreUnavailable(failure) => Self::BlobStoreUnavailable(failure),
        }
    }
}

impl From<Denied> for MergeError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<ModuleError> for PublishError {
    fn from(error: ModuleError) -> Self {
        match error {
            ModuleError::UnknownModule { module_hash } => Self::UnknownModule { module_hash },
            ModuleError::NotHolder { blob_store } => Self::NotHolder { blob_store },
            ModuleError::BlobStoreUnavailable(failure) => Self::BlobStoreUnavailable(failure),
        }
    }
}

impl From<Denied> for UndoError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<TreeError> for UndoError {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}
