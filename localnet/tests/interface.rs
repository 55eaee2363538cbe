//! The HTTP interface of the Internet Computer, used by the agent and by hand.

mod interface {
    pub(crate) mod agents;
    pub(crate) mod canister;
    pub(crate) mod network;
    mod raw;
    mod robustness;
    mod state;
}
