//! What requests are answered, before it is certified.

use std::borrow::Cow;

use candid::Principal;
use depot_types::{
    Hash,
    catalog::{
        CommitInfo, ContainsArgs, ListArgs, ListCursor, PathVersionArgs, PathVersionsArgs, QueryError, Revision, Target,
    },
    http::HttpResponse,
    limits::MAX_PAGE_ENTRIES,
    objects::Entry,
    path::{ModulePath, PathError},
};
use ic_stable_structures::Memory;
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::request::{
    AFTER_PARAMETER, Asked, BRANCH_PARAMETER, CANISTER_PARAMETER, CONDITION_HEADER, HOST_HEADER, LIMIT_PARAMETER,
    Route, read_hash,
};
use crate::{limits::MAX_HTTP_BODY_BYTES, state::State};

/// What an answer depends on of the request, besides method, path, branch and place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Varies {
    /// Nothing more.
    No,
    /// The tag that the client has.
    WithTag,
    /// The name of the gateway, since the answer leads to another canister there.
    WithHost,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) varies: Varies,
    /// Whether the body is what is asked for, so that its length is to be told also without it.
    has_length: bool,
    /// The header that has the certificate, which is not itself certified.
    pub(super) certificate: Option<(String, String)>,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Answer {
    fn new(status: u16) -> Self {
        let headers = vec![
            ("Access-Control-Allow-Origin", "*".to_string()),
            ("Access-Control-Expose-Headers", "ETag, Link, Wasmstore-Hash".to_string()),
            // Everything can change with the next commit; a tag tells whether it has.
            ("Cache-Control", "no-cache".to_string()),
            ("X-Content-Type-Options", "nosniff".to_string()),
        ];
        Self { status, headers, body: vec![], varies: Varies::No, has_length: true, certificate: None }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn with_body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with("Content-Type", content_type)
    }

    /// An answer that has what was asked for.
    fn found(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let answer = Self::new(200).with_body(content_type, body).with("Vary", "Wasmstore-Branch");
        let tag = format!("\"{}\"", Hash::of(&answer.body));
        answer.with("ETag", tag)
    }

    /// Says what is wrong.
    pub(super) fn error(status: u16, text: impl Into<String>) -> Self {
        Self::new(status).with_body(TEXT, text.into())
    }

    /// Says that there is nothing, as clients know it: without a word.
    fn absent() -> Self {
        Self::new(404)
    }

    /// The answer to what is not below `/api`.
    pub(super) fn nothing_there() -> Self {
        Self::error(404, "not found: this is a catalog of Wasm modules, see /api/v1/modules and /api/v1/branches\n")
    }

    /// What can be said of everything below `/api` without knowing it.
    pub(super) fn ask_again() -> Self {
        Self::error(503, "ask again: the answer is to be certified first\n").with("Retry-After", 1)
    }

    pub(super) fn into_response(self) -> HttpResponse {
        let Self { status: status_code, headers, body, certificate, .. } = self;
        let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value)).chain(certificate).collect();
        HttpResponse { status_code, headers, body: ByteBuf::from(body), upgrade: None }
    }

    /// Makes it the answer to the way of asking: to `HEAD`, and to who has it already.
    fn to(mut self, asked: &Asked<'_>) -> Self {
        let tag = self.headers.iter().find(|(name, _)| *name == "ETag").map(|(_, tag)| tag.clone());
        if self.status == 200
            && let (Some(tag), Some(condition)) = (tag, asked.header(CONDITION_HEADER))
            && is_met(condition, &tag)
        {
            self.headers.retain(|(name, _)| *name != "Content-Type");
            return Self { status: 304, body: vec![], varies: Varies::WithTag, ..self };
        }
        if self.has_length {
            let length = self.body.len();
            self = self.with("Content-Length", length);
        }
        if asked.is_head() {
            self.body.clear();
        }
        self
    }
}

/// Tells whether the tags of a condition have one, or are all there may be.
fn is_met(condition: &str, tag: &str) -> bool {
    let weak = |text: &str| text.trim().trim_start_matches("W/").to_string();
    condition.trim() == "*" || condition.split(',').any(|one| weak(one) == tag)
}

/// A commit as clients of wasmstore know it.
#[derive(Serialize)]
struct CommitJson {
    hash: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
    /// The principal, which is authenticated, where wasmstore has any name.
    author: String,
    /// Seconds since 1970.
    date: u64,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    author_name: Option<String>,
}

impl From<CommitInfo> for CommitJson {
    fn from(commit: CommitInfo) -> Self {
        Self {
            hash: commit.id.to_string(),
            parents: commit.parents.iter().map(Hash::to_string).collect(),
            author: commit.author.to_text(),
            date: commit.time_ns / 1_000_000_000,
            message: commit.message,
            author_name: commit.author_name,
        }
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("BUG: texts and numbers cannot be written as JSON")
}

/// Where a page of a list begins, and how long it may be.
struct Place {
    at: Option<Revision>,
    after: Option<ListCursor>,
    limit: Option<u32>,
}

/// A part of a list that is asked for in pages.
struct Part {
    /// Most entries; everything at once when absent.
    limit: Option<u32>,
    after: Option<ListCursor>,
}

impl<M: Memory> State<M> {
    /// Answers a request that can be read.
    pub(super) fn answer(&self, asked: &Asked<'_>, canister: Principal) -> Answer {
        if !asked.is_read() {
            let text = "only GET and HEAD are answered over HTTP: changes are calls of the canister, such as `commit`";
            return Answer::error(405, text).with("Allow", "GET, HEAD, OPTIONS");
        }
        if asked.is_options() {
            return Answer::new(204)
                .with("Allow", "GET, HEAD, OPTIONS")
                .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
                .with("Access-Control-Allow-Headers", "Wasmstore-Branch, Wasmstore-Auth, If-None-Match, Content-Type");
        }
        self.read(asked, canister).unwrap_or_else(|refused| refused).to(asked)
    }

    /// Answers what is asked for.
    ///
    /// # Errors
    /// The answer that says why there is nothing.
    fn read(&self, asked: &Asked<'_>, canister: Principal) -> Result<Answer, Answer> {
        let branch = asked.branch().map_err(|error| Answer::error(400, format!("the branch is malformed: {error}")))?;
        let branch = branch.map_or_else(|| Cow::Owned(self.default_branch()), Cow::Borrowed);
        // A branch that is not there is read as one in which nothing is.
        let head = self.head(&branch).flatten();
        match &asked.route {
            Route::Modules { prefix } => self.modules(asked, head, prefix),
            Route::Module { target } => {
                let module = match read_hash(target) {
                    Some(module) => self.is_linked(head, module)?.then_some(module),
                    None => self.module_named(head, target)?,
                };
                Ok(self.redirect(asked, canister, &module.ok_or_else(Answer::absent)?))
            }
            Route::Hash { path } => match read_hash(path) {
                Some(hash) => Ok(Answer::found(TEXT, hash.to_string())),
                None => Ok(Answer::found(TEXT, self.entry_hash(head, path)?.ok_or_else(Answer::absent)?.to_string())),
            },
            Route::Versions { path } => self.versions(asked, head, path),
            Route::Version { index, path } => {
                let malformed = || Answer::error(400, "the index of a version is a number, from 0 for the oldest");
                let index: u32 = index.parse().map_err(|_| malformed())?;
                let module = self.module_version(head, path, index)?;
                Ok(self.redirect(asked, canister, &module.ok_or_else(|| Answer::error(404, "Not found"))?))
            }
            Route::Snapshot => match head {
                Some(head) => Ok(Answer::found(TEXT, head.to_string())),
                None => Err(Answer::error(404, format!("nothing was committed to the branch {branch}"))),
            },
            Route::Commit { id } => {
                let id = read_hash(id).ok_or_else(|| Answer::error(400, "invalid hash"))?;
                let commit = self.commit_info(&id).ok_or_else(|| Answer::error(404, "invalid commit"))?;
                Ok(Answer::found(JSON, json(&CommitJson::from(commit))))
            }
            Route::Branch => Ok(Answer::found(TEXT, branch.into_owned())),
            Route::Branches => {
                let names: Vec<String> = self.branches().into_iter().map(|branch| branch.name).collect();
                Ok(Answer::found(JSON, json(&names)))
            }
            Route::Unknown => Err(Answer::absent()),
            Route::Elsewhere => Err(Answer::nothing_there()),
        }
    }

    fn modules(&self, asked: &Asked<'_>, head: Option<Hash>, prefix: &str) -> Result<Answer, Answer> {
        if !prefix.is_empty() {
            ModulePath::parse(prefix).map_err(malformed_path)?;
        }
        in_parts(asked, head, ['{', '}'], |Place { at, after, limit }| {
            let page = self.list(&ListArgs { at, prefix: Some(prefix.to_string()), after, limit })?;
            let entry = |path: &str, module: &Hash| format!("{}:\"{module}\"", json(&format!("/{path}")));
            Ok((page.modules.iter().map(|listed| entry(&listed.path, &listed.module_hash)).collect(), page.next))
        })
    }

    fn versions(&self, asked: &Asked<'_>, head: Option<Hash>, path: &str) -> Result<Answer, Answer> {
        ModulePath::parse(path).map_err(malformed_path)?;
        in_parts(asked, head, ['[', ']'], |Place { at, after, limit }| {
            let page = self.path_versions(&PathVersionsArgs { at, path: path.to_string(), after, limit })?;
            let entry = |module: &Hash, commit: &Hash| format!("[\"{module}\",\"{commit}\"]");
            Ok((page.versions.iter().map(|found| entry(&found.module_hash, &found.commit)).collect(), page.next))
        })
    }

    fn module_version(&self, head: Option<Hash>, path: &str, index: u32) -> Result<Option<Hash>, Answer> {
        let path = ModulePath::parse(path).map_err(malformed_path)?.to_string();
        let Some(head) = head else { return Ok(None) };
        match self.path_version_at(&PathVersionArgs { at: Some(Revision::Commit(head)), path, index }) {
            Ok(version) => Ok(Some(version.module_hash)),
            Err(_) => Ok(None),
        }
    }

    /// Tells whether a path of a commit names a module.
    fn is_linked(&self, head: Option<Hash>, module: Hash) -> Result<bool, Answer> {
        let Some(head) = head else { return Ok(false) };
        let args = ContainsArgs { at: Some(Revision::Commit(head)), target: Target::Module(module) };
        self.contains(&args).map_err(|error| refused(&error))
    }

    fn entry_at_path(&self, head: Option<Hash>, path: &str) -> Result<Option<Entry>, Answer> {
        let path = match ModulePath::parse(path) {
            Ok(path) => path.segments().to_vec(),
            Err(PathError::Empty) => vec![],
            Err(error) => return Err(malformed_path(error)),
        };
        Ok(head.and_then(|head| self.entry(self.place_of(&head).tree, &path)))
    }

    fn module_named(&self, head: Option<Hash>, path: &str) -> Result<Option<Hash>, Answer> {
        Ok(match self.entry_at_path(head, path)? {
            Some(Entry::Module(module)) => Some(module),
            Some(Entry::Folder(_)) | None => None,
        })
    }

    fn entry_hash(&self, head: Option<Hash>, path: &str) -> Result<Option<Hash>, Answer> {
        Ok(self.entry_at_path(head, path)?.map(|entry| match entry {
            Entry::Module(hash) | Entry::Folder(hash) => hash,
        }))
    }

    /// Sends the client to the bytes of a module. To `HEAD`, what is known of them here is the answer.
    fn redirect(&self, asked: &Asked<'_>, canister: Principal, module: &Hash) -> Answer {
        let answer = |status| {
            Answer { has_length: false, ..Answer::new(status) }
                .with("Wasmstore-Hash", module)
                .with("ETag", format!("\"{module}\""))
                .with("Vary", "Wasmstore-Branch")
        };
        if asked.is_head() {
            return answer(200).with("Content-Type", "application/wasm");
        }
        let location = location(asked, canister, self.blob_store(), module);
        Answer { varies: Varies::WithHost, ..answer(307).with("Location", location) }
    }
}

/// Answers a list: all of it, or the part of it that is asked for.
///
/// `page` returns entries as JSON, at most as many as given, and where the list goes on.
fn in_parts(
    asked: &Asked<'_>,
    head: Option<Hash>,
    [open, close]: [char; 2],
    page: impl Fn(Place) -> Result<(Vec<String>, Option<ListCursor>), QueryError>,
) -> Result<Answer, Answer> {
    let Part { limit, mut after } = part(asked)?;
    let mut body = String::from(open);
    let mut next = None;
    // A cursor holds on to the commit that it began with, whatever the branch is at.
    let mut goes_on = head.is_some() || after.is_some();
    while goes_on {
        let place = Place { at: head.map(Revision::Commit), after, limit: Some(limit.unwrap_or(MAX_PAGE_ENTRIES)) };
        let (entries, rest) = page(place).map_err(|error| refused(&error))?;
        for entry in entries {
            if body.len() > 1 {
                body.push(',');
            }
            body.push_str(&entry);
        }
        if body.len() >= MAX_HTTP_BODY_BYTES {
            let most = MAX_HTTP_BODY_BYTES;
            let text = format!("the list has more than {most} bytes: ask for it in pages, such as with ?limit=500");
            return Err(Answer::error(400, text));
        }
        goes_on = rest.is_some() && limit.is_none();
        next.clone_from(&rest);
        after = rest;
    }
    body.push(close);
    let answer = Answer::found(JSON, body);
    Ok(match (next, limit) {
        (Some(next), Some(limit)) => {
            let next: String = next.iter().map(|byte| format!("{byte:02x}")).collect();
            let branch = asked.parameter(BRANCH_PARAMETER).map(|branch| format!("&{BRANCH_PARAMETER}={branch}"));
            // Where the gateway knows the canister by it, and so knows it to be an id.
            let canister = asked.parameter(CANISTER_PARAMETER).filter(|id| Principal::from_text(id).is_ok());
            let canister = canister.map(|id| format!("&{CANISTER_PARAMETER}={id}"));
            let path = asked.raw_path();
            let others = branch.into_iter().chain(canister).collect::<String>();
            let link = format!("<{path}?{LIMIT_PARAMETER}={limit}&{AFTER_PARAMETER}={next}{others}>; rel=\"next\"");
            answer.with("Link", link)
        }
        _ => answer,
    })
}

/// Reads which part of a list is asked for.
fn part(asked: &Asked<'_>) -> Result<Part, Answer> {
    let limit = asked.parameter(LIMIT_PARAMETER).map(|text| {
        let limit = text.parse::<u32>().ok().filter(|limit| (1..=MAX_PAGE_ENTRIES).contains(limit));
        limit.ok_or_else(|| Answer::error(400, format!("`limit` is a number from 1 to {MAX_PAGE_ENTRIES}")))
    });
    let limit = limit.transpose()?;
    let malformed = || Answer::error(400, "`after` is not what a page before it had in its header `Link`");
    let after = asked.parameter(AFTER_PARAMETER).map(|text| read_hex(text).ok_or_else(malformed)).transpose()?;
    // What goes on is a page in any case.
    let limit = limit.or(after.as_ref().map(|_| MAX_PAGE_ENTRIES));
    Ok(Part { limit, after: after.map(ListCursor::from) })
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

/// Returns the URL of a module's bytes in the blob store, at the gateway that was asked.
fn location(asked: &Asked<'_>, canister: Principal, blob_store: Principal, module: &Hash) -> String {
    let canister = canister.to_text();
    if asked.parameter(CANISTER_PARAMETER) == Some(&canister) {
        return format!("/module/{module}?{CANISTER_PARAMETER}={blob_store}");
    }
    if let Some(host) = asked.header(HOST_HEADER)
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte))
        && let Some((name, domain)) = host.split_once('.')
        // A name may stand before the id, so that people can tell hosts apart.
        && name.rsplit_once("--").map_or(name, |(_, id)| id).eq_ignore_ascii_case(&canister)
    {
        return format!("//{blob_store}.{domain}/module/{module}");
    }
    // A domain of the canister's own, or none that is known.
    format!("https://{blob_store}.{DEFAULT_DOMAIN}/module/{module}")
}

/// Where canisters are reached that have no other name.
const DEFAULT_DOMAIN: &str = "icp0.io";

fn malformed_path(error: PathError) -> Answer {
    Answer::error(400, error.to_string())
}

/// Says why a question has no answer.
fn refused(error: &QueryError) -> Answer {
    match error {
        QueryError::InvalidPath { path, reason } => Answer::error(400, format!("{path}: {reason}")),
        QueryError::TooMany { max } => {
            Answer::error(400, format!("none of the first {max} paths that the module ever had names it: ask by path"))
        }
        QueryError::InvalidCursor => Answer::error(400, "`after` is of another list"),
        QueryError::UnknownCommit { commit } => {
            Answer::error(404, format!("the commit {commit} is gone: begin the list anew"))
        }
        other => Answer::error(404, format!("{other:?}")),
    }
}
