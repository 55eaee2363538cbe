//! Deployments: how they begin, the steps they take, how they are shown.
//!
//! A step is one function that may be run again at any time: it reads the record, stores its intent, calls, and first
//! of all stores the outcome. [`drive`] runs the steps of one deployment under its lock.

mod begin;
mod create;
mod drive;
mod hand_over;
mod inspect;
mod install;
mod resolve;
mod show;
mod stage;
mod verify;

pub use begin::Begun;

#[cfg(test)]
mod tests;
