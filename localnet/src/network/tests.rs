//! Messages through whole rounds, with a small canister that does what its methods say.

mod calls;
mod certificates;
mod fixture;
mod management;
mod queries;
mod rounds;
mod saved;
mod upkeep;
