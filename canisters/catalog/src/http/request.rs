//! Reads what a request asks for.

use depot_types::{
    Hash,
    http::HttpRequest,
    path::{NameError, check_branch_name},
};
use ic_http_certification::{HttpRequest as GatewayRequest, Method};

use super::answer::Answer;
use crate::limits::{MAX_HTTP_URL_BYTES, MAX_HTTP_URL_SEGMENTS};

/// The header that names the branch of a request.
pub(super) const BRANCH_HEADER: &str = "wasmstore-branch";
/// The same as a parameter, for browsers, whose pages may not send headers of their own to other hosts.
pub(super) const BRANCH_PARAMETER: &str = "branch";
/// Most entries of a page.
pub(super) const LIMIT_PARAMETER: &str = "limit";
/// Where a list goes on.
pub(super) const AFTER_PARAMETER: &str = "after";
/// By which gateways are told the canister where its host does not.
pub(super) const CANISTER_PARAMETER: &str = "canisterId";
/// The header that makes a request conditional.
pub(super) const CONDITION_HEADER: &str = "if-none-match";
/// The header that says under which name the gateway was reached.
pub(super) const HOST_HEADER: &str = "host";

/// Headers and parameters that answers can depend on.
const RELEVANT_HEADERS: [&str; 3] = [BRANCH_HEADER, CONDITION_HEADER, HOST_HEADER];

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The modules below a folder.
    Modules { prefix: String },
    /// The bytes of a module, by path or by its hash.
    Module { target: String },
    /// The hash of what a path stands for.
    Hash { path: String },
    /// The versions of a path.
    Versions { path: String },
    /// The bytes of a version of a path.
    Version { index: String, path: String },
    /// The commit that the branch is at.
    Snapshot,
    /// A commit.
    Commit { id: String },
    /// The name of the branch.
    Branch,
    /// The names of all branches.
    Branches,
    /// Something below `/api` that is not there.
    Unknown,
    /// Something that is not below `/api`.
    Elsewhere,
}

impl Route {
    fn of(path: &str) -> Self {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        if segments.next() != Some("api") {
            return Self::Elsewhere;
        }
        if segments.next() != Some("v1") {
            return Self::Unknown;
        }
        let kind = segments.next().unwrap_or_default();
        let rest: Vec<&str> = segments.collect();
        let all = || rest.join("/");
        match (kind, rest.as_slice()) {
            ("modules", _) => Self::Modules { prefix: all() },
            ("module", _) => Self::Module { target: all() },
            ("hash", _) => Self::Hash { path: all() },
            ("versions", _) => Self::Versions { path: all() },
            ("version", [index, path @ ..]) => Self::Version { index: (*index).to_string(), path: path.join("/") },
            ("snapshot", []) => Self::Snapshot,
            ("commit", [id]) => Self::Commit { id: (*id).to_string() },
            ("branch", []) => Self::Branch,
            ("branches", []) => Self::Branches,
            _ => Self::Unknown,
        }
    }
}

/// A request that can be read.
pub(super) struct Asked<'a> {
    pub(super) route: Route,
    /// The path, with its percent signs decoded: what gateways look up what is certified by.
    pub(super) path: String,
    /// The request as far as answers depend on it, to certify answers to it.
    pub(super) gateway: GatewayRequest<'a>,
    request: &'a HttpRequest,
}

impl<'a> Asked<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// The answer to what is no request.
    pub(super) fn read(request: &'a HttpRequest) -> Result<Self, Answer> {
        let HttpRequest { method, url, headers, body, .. } = request;
        if url.len() > MAX_HTTP_URL_BYTES {
            let text = format!("the URL has {} bytes, at most {MAX_HTTP_URL_BYTES} are read", url.len());
            return Err(Answer::error(414, text));
        }
        let method = Method::try_from(method.as_str()).map_err(|_| Answer::error(400, "the method is malformed"))?;
        let relevant =
            headers.iter().filter(|(name, _)| RELEVANT_HEADERS.iter().any(|it| name.eq_ignore_ascii_case(it)));
        let gateway = GatewayRequest::builder()
            .with_method(method)
            .with_url(url.as_str())
            .with_headers(relevant.cloned().collect())
            .with_body(body.as_slice())
            .build();
        let malformed = |_| Answer::error(400, "the URL is malformed");
        let path = gateway.get_path().map_err(malformed)?;
        if path.split('/').filter(|segment| !segment.is_empty()).count() > MAX_HTTP_URL_SEGMENTS {
            let text = format!("the path of the URL has more than {MAX_HTTP_URL_SEGMENTS} segments");
            return Err(Answer::error(414, text));
        }
        if headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(BRANCH_HEADER)).count() > 1 {
            return Err(Answer::error(400, "the header Wasmstore-Branch is there more than once"));
        }
        Ok(Self { route: Route::of(&path), path, gateway, request })
    }

    /// Returns true for what is not below `/api`.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.route == Route::Elsewhere
    }

    /// Returns true for methods that read.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.request.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    pub(super) fn is_options(&self) -> bool {
        self.request.method == "OPTIONS"
    }

    pub(super) fn is_head(&self) -> bool {
        self.request.method == "HEAD"
    }

    /// Returns the path and what is before its parameters as they were sent.
    pub(super) fn raw_path(&self) -> &'a str {
        self.request.url.split(['?', '#']).next().unwrap_or_default()
    }

    /// Returns the value of a header; nothing when it is there more than once, since what is certified of a request says
    /// nothing of their order.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        let mut headers = self.request.headers.iter().filter(|header| header.0.eq_ignore_ascii_case(name));
        headers.next().filter(|_| headers.next().is_none()).map(|header| header.1.trim())
    }

    /// Returns the first parameter of a name, as it was sent.
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        let url = self.request.url.split('#').next().unwrap_or_default();
        let (_, parameters) = url.split_once('?')?;
        parameters.split('&').find_map(|parameter| match parameter.split_once('=') {
            Some((found, value)) => (found == name).then_some(value),
            None => (parameter == name).then_some(""),
        })
    }

    /// Returns the branch that the request names; nothing for the default branch.
    ///
    /// # Errors
    /// [`NameError`] when it can be no name of a branch.
    pub(super) fn branch(&self) -> Result<Option<&'a str>, NameError> {
        let named = self.parameter(BRANCH_PARAMETER).filter(|name| !name.is_empty());
        let named = named.or_else(|| self.header(BRANCH_HEADER)).filter(|name| !name.is_empty());
        named.map(|name| check_branch_name(name).map(|()| name)).transpose()
    }
}

/// Reads a hash in hex digits of either case.
pub(super) fn read_hash(text: &str) -> Option<Hash> {
    text.to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;

    fn request(url: &str, headers: &[(&str, &str)]) -> HttpRequest {
        HttpRequest {
            method: "GET".to_string(),
            url: url.to_string(),
            headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            body: ByteBuf::new(),
            certificate_version: Some(2),
        }
    }

    #[test]
    fn should_find_routes_however_slashes_are_set() {
        let route = |url: &str| Asked::read(&request(url, &[])).unwrap().route;
        for url in ["/api/v1/branch", "//api//v1/branch/", "/api/v1/branch?x=1", "/api/v1/%62ranch"] {
            assert_eq!(route(url), Route::Branch, "{url}");
        }
        assert_eq!(route("/api/v1/modules"), Route::Modules { prefix: String::new() });
        assert_eq!(route("/api/v1/modules/a//b/"), Route::Modules { prefix: "a/b".to_string() });
        assert_eq!(route("/api/v1/module//sp%20ace/%C3%A4"), Route::Module { target: "sp ace/ä".to_string() });
        assert_eq!(route("/api/v1/hash"), Route::Hash { path: String::new() });
        let version = Route::Version { index: "1".to_string(), path: "a/b".to_string() };
        assert_eq!(route("/api/v1/version/1/a/b"), version);
        for url in ["/api/v1", "/api/v2/branch", "/api/v1/version", "/api/v1/commit", "/api/v1/snapshot/x", "/api"] {
            assert_eq!(route(url), Route::Unknown, "{url}");
        }
        for url in ["/", "/x", "/apis", "/v1/branch"] {
            assert_eq!(route(url), Route::Elsewhere, "{url}");
        }
    }

    #[test]
    fn should_refuse_what_is_no_request_and_urls_that_are_too_long() {
        let status = |request: &HttpRequest| Asked::read(request).err().map(|answer| answer.status);
        let long = |length: usize| request(&format!("/{}", "a".repeat(length - 1)), &[]);
        assert_eq!(status(&long(MAX_HTTP_URL_BYTES)), None);
        assert_eq!(status(&long(MAX_HTTP_URL_BYTES + 1)), Some(414));
        for url in ["", "/a b", "/%ff"] {
            assert_eq!(status(&request(url, &[])), Some(400), "{url:?}");
        }
        let deep = |segments: usize| request(&"/a/".repeat(segments), &[]);
        assert_eq!(status(&deep(MAX_HTTP_URL_SEGMENTS)), None);
        assert_eq!(status(&deep(MAX_HTTP_URL_SEGMENTS + 1)), Some(414));
        assert_eq!(status(&request("/", &[("Wasmstore-Branch", "a"), ("wasmstore-branch", "b")])), Some(400));
        let method = HttpRequest { method: "G T".to_string(), ..request("/", &[]) };
        assert_eq!(status(&method), Some(400));
    }

    #[test]
    fn should_read_branches_and_parameters() {
        let named = |url: &str, headers: &[(&str, &str)]| {
            let request = request(url, headers);
            let asked = Asked::read(&request).unwrap();
            asked.branch().map(|branch| branch.map(str::to_string))
        };
        assert_eq!(named("/", &[]), Ok(None));
        assert_eq!(named("/", &[("Wasmstore-Branch", "")]), Ok(None));
        assert_eq!(named("/", &[("Wasmstore-Branch", " dev ")]), Ok(Some("dev".to_string())));
        assert_eq!(named("/?branch=b", &[("wasmstore-branch", "dev")]), Ok(Some("b".to_string())));
        assert_eq!(named("/?branch=", &[("wasmstore-branch", "dev")]), Ok(Some("dev".to_string())));
        assert!(named("/?branch=a/b", &[]).is_err());
        let url = request("/?limit&limit=2&after=x=y#branch=z", &[]);
        let asked = Asked::read(&url).unwrap();
        assert_eq!(asked.parameter("limit"), Some(""));
        assert_eq!(asked.parameter("after"), Some("x=y"));
        assert_eq!(asked.parameter("branch"), None);
    }
}
