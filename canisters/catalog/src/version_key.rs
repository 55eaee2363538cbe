//! Keys of releases: bytes whose order is the order of packages and, in a package, of semantic versions.
//!
//! | part | bytes |
//! |---|---|
//! | package | its name, then `00`, which no name contains |
//! | major, minor, patch | 8 bytes each, big-endian |
//! | prerelease | `03` if there is none: it comes after all prereleases. Otherwise its identifiers |
//! | build metadata | its identifiers; if there is none, one numeric identifier without digits, which comes first |
//!
//! Identifiers are one after the other, then `00`, so that a list comes before every longer one that starts with it.
//! A numeric identifier is `01`, the number of its digits without leading zeros, those digits, and the number of all
//! its digits. Another one is `02`, its text, and `00`. The order is that of `semver::Version`, in which build
//! metadata counts last.

use std::ops::Range;

use semver::Version;

const END: u8 = 0;
const NUMERIC: u8 = 1;
const ALPHANUMERIC: u8 = 2;
const NO_PRERELEASE: u8 = 3;

/// Returns the key of a release.
pub(crate) fn release_key(package: &str, version: &Version) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    key.extend_from_slice(package.as_bytes());
    key.push(END);
    for number in [version.major, version.minor, version.patch] {
        key.extend_from_slice(&number.to_be_bytes());
    }
    if version.pre.is_empty() {
        key.push(NO_PRERELEASE);
    } else {
        push_identifiers(&mut key, &version.pre);
    }
    push_identifiers(&mut key, &version.build);
    key
}

/// Returns the range of the keys of all releases of a package.
pub(crate) fn package_keys(package: &str) -> Range<Vec<u8>> {
    let key = |end: u8| [package.as_bytes(), &[end]].concat();
    key(END)..key(END + 1)
}

/// Returns the package of a key.
pub(crate) fn package_of(key: &[u8]) -> String {
    let name = key.split(|byte| *byte == END).next().unwrap_or_default();
    String::from_utf8(name.to_vec()).expect("BUG: a stored package name is not UTF-8")
}

fn push_identifiers(key: &mut Vec<u8>, identifiers: &str) {
    for identifier in identifiers.split('.') {
        if identifier.bytes().all(|byte| byte.is_ascii_digit()) {
            // A version has 64 bytes at the most, so lengths fit a byte.
            let digits = identifier.trim_start_matches('0');
            key.extend_from_slice(&[NUMERIC, digits.len() as u8]);
            key.extend_from_slice(digits.as_bytes());
            key.push(identifier.len() as u8);
        } else {
            key.push(ALPHANUMERIC);
            key.extend_from_slice(identifier.as_bytes());
            key.push(END);
        }
    }
    key.push(END);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_fixtures::hex;

    fn key(version: &str) -> Vec<u8> {
        release_key("p", &Version::parse(version).unwrap())
    }

    #[test]
    fn should_keep_the_bytes_of_keys() {
        let numbers = "70000000000000000001000000000000000200000000000000ff";
        assert_eq!(hex(&key("1.2.255")), format!("{numbers}0301000000"));
        assert_eq!(hex(&key("1.2.255-rc.10+007")), format!("{numbers}027263000102313002000101370300"));
    }

    #[test]
    fn should_follow_the_order_of_the_specification() {
        let ascending = [
            "0.0.9",
            "0.0.10",
            "0.2.0",
            "1.0.0-0",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-alpha-",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.0+0",
            "1.0.0+00",
            "1.0.0+1",
            "1.0.0+a",
            "1.0.1-a",
            "2.0.0",
            "10.0.0",
            "18446744073709551615.0.0",
        ];
        for pair in ascending.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn should_hold_all_versions_of_a_package_and_no_others() {
        let version = Version::parse("1.0.0").unwrap();
        let keys = package_keys("p");
        assert!(keys.contains(&release_key("p", &version)));
        for other in ["o", "p-", "p.x", "p0", "pp", "q"] {
            assert!(!keys.contains(&release_key(other, &version)), "{other}");
        }
    }

    fn versions() -> impl Strategy<Value = Version> {
        let number = || prop_oneof![0..3u64, any::<u64>()];
        let identifier = || prop_oneof!["0|[1-9][0-9]{0,3}", "[0-9]{0,2}[a-c-][0-9a-c-]{0,2}"];
        let pre = prop::collection::vec(identifier(), 0..4);
        let build = prop::collection::vec(prop_oneof![identifier(), "0{0,2}[0-2]"], 0..4);
        (number(), number(), number(), pre, build).prop_map(|(major, minor, patch, pre, build)| {
            let mut text = format!("{major}.{minor}.{patch}");
            if !pre.is_empty() {
                text += &format!("-{}", pre.join("."));
            }
            if !build.is_empty() {
                text += &format!("+{}", build.join("."));
            }
            Version::parse(&text).unwrap()
        })
    }

    /// Versions that differ late, where the order is decided by identifiers.
    fn similar() -> impl Strategy<Value = (Version, Version)> {
        (versions(), versions()).prop_map(|(one, mut other)| {
            (other.major, other.minor, other.patch) = (one.major, one.minor, one.patch);
            (one, other)
        })
    }

    proptest! {
        #[test]
        fn should_order_keys_as_versions((one, other) in prop_oneof![(versions(), versions()), similar()]) {
            let keys = release_key("p", &one).cmp(&release_key("p", &other));
            prop_assert_eq!(keys, one.cmp(&other), "{} {}", one, other);
        }

        #[test]
        fn should_order_equal_prereleases_by_build_metadata((one, mut other) in similar()) {
            other.pre = one.pre.clone();
            let keys = release_key("p", &one).cmp(&release_key("p", &other));
            prop_assert_eq!(keys, one.cmp(&other), "{} {}", one, other);
        }
    }
}
