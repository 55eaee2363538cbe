//! Candid values as people write them.

use anyhow::Context;
use candid_parser::{
    parse_idl_args,
    utils::{CandidSource, instantiate_candid},
};

/// Encodes arguments written in Candid's text form, such as `(42, "hello")`.
///
/// With the interface of the canister, values get the types that its init function takes.
///
/// # Errors
/// When the text is not Candid, or does not fit the interface.
pub fn encode_init_args(text: &str, interface: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let args =
        parse_idl_args(text).context("the init argument is not a Candid value list such as `(42, \"hello\")`")?;
    let Some(interface) = interface else { return Ok(args.to_bytes()?) };
    let (types, (env, _)) =
        instantiate_candid(CandidSource::Text(interface)).context("the module's Candid interface cannot be read")?;
    let args = args.annotate_types(true, &env, &types);
    let args = args.context("the init argument does not fit the module's Candid interface")?;
    args.to_bytes_with_types(&env, &types).context("the init argument does not fit the module's Candid interface")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERFACE: &str = "service : (opt nat64, text) -> { get : () -> (nat64) query }";

    #[test]
    fn should_give_values_the_types_of_the_interface() {
        let bytes = encode_init_args("(opt 7, \"x\")", Some(INTERFACE)).unwrap();
        assert_eq!(candid::decode_args::<(Option<u64>, String)>(&bytes).unwrap(), (Some(7), "x".to_string()));
    }

    #[test]
    fn should_encode_without_an_interface() {
        let bytes = encode_init_args("(7 : nat64)", None).unwrap();
        assert_eq!(candid::decode_args::<(u64,)>(&bytes).unwrap(), (7,));
    }

    #[test]
    fn should_refuse_what_does_not_fit() {
        assert!(encode_init_args("(opt \"x\", \"y\")", Some(INTERFACE)).is_err());
        assert!(encode_init_args("not candid", None).is_err());
    }
}
