//! The shape of certification headers, checked before they are parsed.
//!
//! The parsers of the verification believe the sizes that are declared and follow any nesting. Canisters write these
//! headers, so both are bounded first: by reading what opens and what is declared, without making anything of it.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ic_http_certification::{CERTIFICATE_EXPRESSION_HEADER_NAME, CERTIFICATE_HEADER_NAME};

/// Longest certification header, in bytes as sent. Ordinary ones have a few thousand.
const MAX_HEADER_BYTES: usize = 512 << 10;
/// How deep CBOR may be nested. A certificate has about 40 levels, and a witness a few for each part of a path.
const MAX_CBOR_DEPTH: usize = 256;
/// How deep brackets may be nested in a certification expression; proper ones have 6.
const MAX_EXPRESSION_DEPTH: usize = 32;
/// The fields of a certification header that hold CBOR.
const CBOR_FIELDS: [&str; 3] = ["certificate", "tree", "expr_path"];
/// The key of a delegation whose value is CBOR within a byte string.
const CERTIFICATE_KEY: &[u8] = b"certificate";

/// As lenient as the verification.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Checks that the certification headers of a response can be parsed safely.
///
/// # Errors
/// A sentence, when one is too long, nested too deep, or declares more than it has.
pub(super) fn check(headers: &[(String, String)]) -> Result<(), String> {
    for (name, value) in headers {
        let is_certificate = name.eq_ignore_ascii_case(CERTIFICATE_HEADER_NAME);
        let is_expression = name.eq_ignore_ascii_case(CERTIFICATE_EXPRESSION_HEADER_NAME);
        if (is_certificate || is_expression) && value.len() > MAX_HEADER_BYTES {
            return Err(format!("the header {name} has {} bytes, at most {MAX_HEADER_BYTES} are read", value.len()));
        }
        if is_certificate {
            check_certificate_header(value).map_err(|error| format!("the header {name}: {error}"))?;
        }
        if is_expression {
            check_expression(value).map_err(|error| format!("the header {name}: {error}"))?;
        }
    }
    Ok(())
}

/// Checks `certificate=:<base64>:, tree=:<base64>:, …`.
fn check_certificate_header(value: &str) -> Result<(), String> {
    for field in value.split(',') {
        let Some((name, value)) = field.trim().split_once('=') else { continue };
        if !CBOR_FIELDS.contains(&name) {
            continue;
        }
        // What is no base64 is refused by the verification.
        let Ok(bytes) = BASE64.decode(value.trim_matches(':')) else { continue };
        for delegation in check_cbor(&bytes)? {
            check_cbor(delegation)?;
        }
    }
    Ok(())
}

fn check_expression(expression: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_EXPRESSION_DEPTH {
            return Err(format!("nested deeper than {MAX_EXPRESSION_DEPTH} levels"));
        }
    }
    Ok(())
}

/// Reads the heads of all items of a CBOR value, and returns the byte strings that may be certificates of delegations.
///
/// # Errors
/// When items are nested too deep, declare more than is there, or are of kinds that certificates do not have.
fn check_cbor(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut rest = bytes;
    // How many items are still to come at each level.
    let mut open: Vec<u64> = vec![1];
    let mut delegations = Vec::new();
    let mut after_key = false;
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        let (major, argument, after) = head(rest)?;
        rest = after;
        let mut is_key = false;
        let items = match major {
            // Numbers.
            0 | 1 => 0,
            // Byte strings and texts.
            2 | 3 => {
                let length = usize::try_from(argument).ok().filter(|length| *length <= rest.len());
                let (content, after) = rest.split_at(length.ok_or("a string ends too early")?);
                rest = after;
                if after_key {
                    delegations.push(content);
                }
                is_key = content == CERTIFICATE_KEY;
                0
            }
            4 => argument,
            5 => argument.checked_mul(2).ok_or("a map declares too much")?,
            // A tag and what it is about.
            6 => 1,
            _ => return Err("simple values and floats are not part of certificates".to_owned()),
        };
        after_key = is_key;
        // Every item has a byte at least.
        if items > rest.len() as u64 {
            return Err(format!("{items} items are declared where {} bytes are left", rest.len()));
        }
        if items > 0 {
            open.push(items);
        }
        if open.len() > MAX_CBOR_DEPTH {
            return Err(format!("nested deeper than {MAX_CBOR_DEPTH} levels"));
        }
    }
    Ok(delegations)
}

/// Reads the head of an item: its kind, the number in it, and what follows.
fn head(bytes: &[u8]) -> Result<(u8, u64, &[u8]), String> {
    let (&first, rest) = bytes.split_first().ok_or("the data ends too early")?;
    let length = match first & 0x1f {
        small @ ..=23 => return Ok((first >> 5, u64::from(small), rest)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err("items of indefinite length are not part of certificates".to_owned()),
    };
    let (number, rest) = rest.split_at_checked(length).ok_or("the data ends too early")?;
    let number = number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok((first >> 5, number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![0x81; depth];
        bytes.push(0);
        bytes
    }

    #[test]
    fn should_take_proper_cbor() {
        // A tagged map of a number and a list, a text, and an empty list.
        for bytes in [
            b"\xd9\xd9\xf7\xa2\x61a\x01\x61b\x82\x20\x41\xff".as_slice(),
            b"\x65hello",
            b"\x80",
            b"\x1b\0\0\0\0\0\0\0\x01",
        ] {
            assert_eq!(check_cbor(bytes), Ok(vec![]), "{bytes:?}");
        }
    }

    #[test]
    fn should_bound_nesting() {
        assert!(check_cbor(&nested(MAX_CBOR_DEPTH - 1)).is_ok());
        assert!(check_cbor(&nested(MAX_CBOR_DEPTH)).unwrap_err().contains("deeper"));
        assert!(check_cbor(&nested(1_000_000)).is_err());
        assert!(check_cbor(&vec![0xc1; 1_000_000]).unwrap_err().contains("deeper"), "tags");
        assert!(check_cbor(&vec![0xf6; 1_000_000]).unwrap_err().contains("simple"));
    }

    #[test]
    fn should_refuse_what_declares_more_than_it_has() {
        for bytes in [
            b"".as_slice(),
            b"\x82\x01",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\xbb\x00\x00\x00\x0f\xff\xff\xff\xff\x61a",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x5a\xff\xff\xff\xffabc",
            b"\x9f\x01\xff",
            b"\x19\x01",
        ] {
            assert!(check_cbor(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn should_look_into_the_certificates_of_delegations() {
        let inner = nested(1_000);
        let mut bytes = b"\xa1\x6bcertificate\x59".to_vec();
        bytes.extend((inner.len() as u16).to_be_bytes());
        bytes.extend(&inner);
        assert_eq!(check_cbor(&bytes), Ok(vec![inner.as_slice()]));
        let value = format!("certificate=:{}:, version=2", BASE64.encode(&bytes));
        assert!(check(&header("ic-certificate", &value)).unwrap_err().contains("deeper"));
    }

    #[test]
    fn should_check_each_field_and_only_certification_headers() {
        let deep = BASE64.encode(nested(1_000));
        for field in CBOR_FIELDS {
            let value = format!("version=2, {field}=:{deep}:");
            assert!(check(&header("IC-Certificate", &value)).is_err(), "{field}");
            assert!(check(&header("x-other", &value)).is_ok());
        }
        assert!(check(&header("IC-Certificate", "tree=:not base64:, nonsense, =, version=2")).is_ok());
    }

    #[test]
    fn should_bound_expressions_and_lengths() {
        let brackets = |depth: usize| format!("default_certification{}", "[".repeat(depth));
        assert!(check(&header("IC-CertificateExpression", &brackets(MAX_EXPRESSION_DEPTH))).is_ok());
        assert!(check(&header("IC-CertificateExpression", &brackets(MAX_EXPRESSION_DEPTH + 1))).is_err());
        assert!(check(&header("ic-certificate", &"x".repeat(MAX_HEADER_BYTES))).is_ok());
        assert!(check(&header("ic-certificate", &"x".repeat(MAX_HEADER_BYTES + 1))).is_err());
    }
}
