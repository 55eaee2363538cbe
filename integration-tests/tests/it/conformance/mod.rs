//! The rules of the Internet Computer, case by case.
//!
//! Every case is a test of its own and holds on `localnet` and on the official server alike: it asserts error codes
//! and numbers, never the words of a message. The fact that a case checks is printed when it fails.

/// Declares cases: a name, the fact that it checks, and the code.
macro_rules! cases {
    ($($(#[$attribute:meta])* $name:ident: $fact:literal => $body:block)*) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $name() {
                eprintln!("{}: {}", stringify!($name), $fact);
                $body
            }
        )*
    };
}

mod world;

mod calls;
mod certification;
mod chunks;
mod cycles;
mod environment;
mod history;
mod ingress;
mod install;
mod lifecycle;
mod logs;
mod messages;
mod modes;
mod queries;
mod settings;
mod snapshots;
mod stable_memory;
mod status;
mod subnets;
mod timers;
mod traps;
