mod crashes;
mod failures;
mod requests;
mod staging;
mod success;
