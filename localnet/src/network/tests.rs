//! Messages through whole rounds, with a small canister that does what its methods say.

mod calls;
mod certificates;
mod certified_data;
mod fixture;
mod kept_hashes;
mod layout;
mod management;
mod queries;
mod requests;
mod reservation;
mod rounds;
mod saved;
mod upkeep;
