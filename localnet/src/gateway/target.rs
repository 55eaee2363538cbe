//! Which canister a request is for: read from its host, its query parameters, or the page that it came from.

use axum::{
    extract::Query,
    http::{HeaderMap, Uri, header},
};
use candid::Principal;

use super::refusal::Refusal;

/// Domain of a gateway unless asked otherwise.
const DEFAULT_DOMAIN: &str = "localhost";
/// Hosts that every gateway serves besides its domains.
const LOOPBACK_HOSTS: [&str; 2] = ["127.0.0.1", "[::1]"];
/// Domains that one gateway may serve.
pub(super) const MAX_DOMAINS: usize = 64;
/// Longest name of a domain, by the rules of DNS.
const MAX_DOMAIN_BYTES: usize = 253;
/// The label below a domain whose canisters are served without verification.
const RAW: &str = "raw";
/// The query parameter that names a canister.
const PARAMETER: &str = "canisterId";

/// The domains of a gateway, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Domains(Vec<String>);

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The canister, if one is named.
    pub canister: Option<Principal>,
    /// False for the raw hosts of canisters, whose answers are not verified.
    pub verify: bool,
}

impl Domains {
    /// Checks the domains that a client asked for.
    ///
    /// # Errors
    /// A sentence, when there are too many or one is no name of a host.
    pub(super) fn new(asked: Option<&[String]>) -> Result<Self, String> {
        let asked = asked.unwrap_or_default();
        if asked.len() > MAX_DOMAINS {
            return Err(format!("domains has {} names, at most {MAX_DOMAINS} are possible", asked.len()));
        }
        let mut domains = Vec::with_capacity(asked.len() + 1);
        for domain in asked {
            let name = normalize(domain);
            let is_name = !name.is_empty()
                && name.len() <= MAX_DOMAIN_BYTES
                && name.split('.').all(|label| {
                    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                });
            if !is_name {
                return Err(format!("domains has {domain:?}, which is no name of a host"));
            }
            domains.push(name);
        }
        if domains.is_empty() {
            domains.push(DEFAULT_DOMAIN.to_owned());
        }
        Ok(Self(domains))
    }

    /// Finds what a request is for: the host names it, or else the query parameter, or else the referring page.
    ///
    /// # Errors
    /// When the request has no host, or one that is not served, or its parameter is no canister id.
    pub(super) fn resolve(&self, uri: &Uri, headers: &HeaderMap) -> Result<Target, Refusal> {
        let host = host(uri, headers).ok_or(Refusal::NoAuthority)?;
        let mut target =
            self.target_of(&host).ok_or_else(|| Refusal::UnknownDomain { host, served: self.0.join(", ") })?;
        if target.canister.is_none() {
            target.canister = canister_parameter(uri)
                .map(|text| Principal::from_text(&text).map_err(|error| Refusal::BadCanisterId(error.to_string())))
                .transpose()?
                .or_else(|| from_referer(headers));
        }
        Ok(target)
    }

    /// Returns the first domain, to show how canisters are named.
    pub(super) fn example(&self) -> &str {
        self.0.first().map_or(DEFAULT_DOMAIN, String::as_str)
    }

    /// Reads `<domain>`, `<canister>.<domain>` and `<canister>.raw.<domain>`.
    fn target_of(&self, host: &str) -> Option<Target> {
        let mut domains = self.0.iter().map(String::as_str).chain(LOOPBACK_HOSTS);
        if domains.clone().any(|domain| domain == host) {
            return Some(Target { canister: None, verify: true });
        }
        let below = domains.find_map(|domain| host.strip_suffix(domain)?.strip_suffix('.'))?;
        let (name, verify) = match below.split_once('.') {
            None => (below, true),
            Some((name, RAW)) => (name, false),
            Some(_) => return None,
        };
        // A name may stand before the id, so that people can tell hosts apart.
        let id = name.rsplit_once("--").map_or(name, |(_, id)| id);
        Some(Target { canister: Principal::from_text(id).ok(), verify })
    }
}

/// Returns the host without its port, in lower case and without a dot at its end.
fn normalize(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    host.strip_suffix('.').map(str::to_owned).unwrap_or(host)
}

/// Returns the host that a request names, by its address or else by its header.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let host = match uri.host() {
        Some(host) => host.to_owned(),
        None => {
            let header = headers.get(header::HOST)?.to_str().ok()?;
            header.parse::<axum::http::uri::Authority>().ok()?.host().to_owned()
        }
    };
    let host = normalize(&host);
    (!host.is_empty()).then_some(host)
}

fn canister_parameter(uri: &Uri) -> Option<String> {
    let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    parameters.into_iter().find_map(|(name, value)| (name == PARAMETER).then_some(value))
}

fn from_referer(headers: &HeaderMap) -> Option<Principal> {
    let referer: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let first_label = referer.host()?.split('.').next()?;
    let by_host = Principal::from_text(first_label.to_ascii_lowercase()).ok();
    by_host.or_else(|| Principal::from_text(canister_parameter(&referer)?).ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const ID: &str = "rrkah-fqaaa-aaaaa-aaaaq-cai";
    const OTHER: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

    fn resolve(domains: &Domains, host: &str, path: &str, referer: Option<&str>) -> Result<Target, Refusal> {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
        if let Some(referer) = referer {
            headers.insert(header::REFERER, HeaderValue::from_str(referer).unwrap());
        }
        domains.resolve(&path.parse().unwrap(), &headers)
    }

    fn found(id: &str, verify: bool) -> Result<Target, Refusal> {
        Ok(Target { canister: Some(Principal::from_text(id).unwrap()), verify })
    }

    #[test]
    fn should_read_the_canister_from_the_host() {
        let domains = Domains::new(None).unwrap();
        for (host, verify) in [
            (format!("{ID}.localhost"), true),
            (format!("{ID}.localhost:8000"), true),
            (format!("{}.LocalHost.", ID.to_uppercase()), true),
            (format!("my-shop--{ID}.localhost"), true),
            (format!("{ID}.raw.localhost:1"), false),
            (format!("{ID}.127.0.0.1"), true),
        ] {
            assert_eq!(resolve(&domains, &host, "/", None), found(ID, verify), "{host}");
        }
        assert_eq!(
            resolve(&domains, &format!("{ID}.localhost"), &format!("/?canisterId={OTHER}"), None),
            found(ID, true)
        );
    }

    #[test]
    fn should_read_the_canister_from_the_parameter_or_else_from_the_referer() {
        let domains = Domains::new(None).unwrap();
        let with = |path: &str, referer: Option<&str>| resolve(&domains, "127.0.0.1:80", path, referer);
        assert_eq!(with(&format!("/a?x=1&canisterId={ID}"), None), found(ID, true));
        assert_eq!(with(&format!("/?canisterId={}", ID.replace('-', "%2D")), None), found(ID, true));
        assert_eq!(with("/a.css", Some(&format!("http://localhost:1/?canisterId={ID}"))), found(ID, true));
        assert_eq!(with("/a.css", Some(&format!("http://{ID}.example.com/x"))), found(ID, true));
        assert_eq!(with(&format!("/?canisterId={ID}"), Some(&format!("http://{OTHER}.localhost/"))), found(ID, true));
        for useless in ["http://localhost/", "nonsense", "http://localhost/?canisterId=zz"] {
            assert_eq!(with("/", Some(useless)), Ok(Target { canister: None, verify: true }), "{useless}");
        }
    }

    #[test]
    fn should_refuse_parameters_that_are_no_principals() {
        let domains = Domains::new(None).unwrap();
        for text in ["", "zz", "rrkah-fqaaa-aaaaa-aaaaq-caa"] {
            let refusal = resolve(&domains, "localhost", &format!("/?canisterId={text}"), None).unwrap_err();
            assert!(matches!(refusal, Refusal::BadCanisterId(_)), "{refusal}");
        }
    }

    #[test]
    fn should_refuse_hosts_that_are_not_served_or_cannot_be_read() {
        let domains = Domains::new(Some(&["depot.test".to_owned(), "Example.COM".to_owned()])).unwrap();
        assert_eq!(resolve(&domains, &format!("{ID}.raw.example.com"), "/", None), found(ID, false));
        assert_eq!(resolve(&domains, "[::1]:80", "/", None), Ok(Target { canister: None, verify: true }));
        for host in ["localhost", "notdepot.test", "a.b.depot.test", "raw.raw.x.depot.test", ".depot.test.x"] {
            let refusal = resolve(&domains, host, "/", None).unwrap_err();
            assert!(refusal.to_string().contains("depot.test, example.com"), "{host}: {refusal}");
        }
        assert_eq!(resolve(&domains, "not a host", "/", None), Err(Refusal::NoAuthority));
        assert_eq!(domains.resolve(&"/".parse().unwrap(), &HeaderMap::new()), Err(Refusal::NoAuthority));
        // A name below a domain that is no id leaves the canister open.
        assert_eq!(resolve(&domains, "www.depot.test", "/", None), Ok(Target { canister: None, verify: true }));
    }

    #[test]
    fn should_bound_and_check_domains() {
        let many = |count: usize| (0..count).map(|index| format!("d{index}.test")).collect::<Vec<_>>();
        assert!(Domains::new(Some(&many(MAX_DOMAINS))).is_ok());
        assert!(Domains::new(Some(&many(MAX_DOMAINS + 1))).unwrap_err().contains("65 names"));
        for invalid in ["", ".", "a..b", "a b", "x/y", &"a".repeat(254), "a:80"] {
            assert!(Domains::new(Some(&[invalid.to_owned()])).unwrap_err().contains("no name of a host"), "{invalid}");
        }
        assert!(Domains::new(Some(&["a".repeat(253)])).is_ok());
    }
}
