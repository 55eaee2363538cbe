use depot_types::{
    catalog::{CollectGarbageArgs, CreateBranchArgs, ExportArgs, ImportArgs, Note, RenameBranchArgs, RollbackArgs},
    http::test_gateway::{CANISTER, certificate, request, verify},
};

use super::*;
use crate::{
    branches::{create_branch, rename_branch},
    collection::collect_garbage,
    import::import,
    limits::{MAX_CERTIFIED_PAGES, MAX_GC_SLICE_INSTRUCTIONS, MAX_HTTP_BODY_BYTES},
    publishers::add_publisher,
    test_fixtures::{ALICE, BLOB_STORE, CONTROLLER, Fixture, block_on, module, principal, remove, set},
    undo::rollback,
};

/// Asks as a gateway does: by a query, then by an update if the canister wants that. Verifies what is to be verified.
fn ask(fixture: &Fixture, request: &HttpRequest) -> HttpResponse {
    let query = query(fixture, request);
    if query.upgrade != Some(true) {
        return query;
    }
    fixture.state.borrow_mut().http_request_update(request, CANISTER)
}

/// Asks by a query, and verifies the answer unless it is the wish for an update.
fn query(fixture: &Fixture, request: &HttpRequest) -> HttpResponse {
    let state = fixture.state.borrow();
    let response = state.http_request(request, CANISTER, Some(&certificate(&state.certified_data())));
    if response.upgrade != Some(true) {
        let certified = verify(request, &response).unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(certified, Some(response.headers.len()), "all headers are certified");
    }
    response
}

fn get(fixture: &Fixture, url: &str, headers: &[(&str, &str)]) -> HttpResponse {
    ask(fixture, &request("GET", &format!("/api/v1{url}"), headers))
}

fn header<'a>(response: &'a HttpResponse, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
}

/// Returns status and body.
fn said(response: &HttpResponse) -> (u16, &str) {
    (response.status_code, std::str::from_utf8(&response.body).unwrap())
}

fn is_certified(fixture: &Fixture, url: &str) -> bool {
    query(fixture, &request("GET", &format!("/api/v1{url}"), &[])).upgrade != Some(true)
}

fn new_branch(fixture: &Fixture, name: &str) {
    let args = CreateBranchArgs { name: name.to_string(), from: None };
    create_branch(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
}

fn roll_back(fixture: &Fixture) {
    let args = RollbackArgs { branch: None, path: None, count: 1, revert: false, note: Note::default() };
    rollback(&mut fixture.state.borrow_mut(), &fixture.runtime, ALICE, args).unwrap();
}

#[test]
fn should_answer_as_wasmstore_does() {
    let fixture = Fixture::new();
    let first = fixture.commit(&[set("dir/b.wasm", 1), set("a", 2)]).unwrap();
    let second = fixture.commit(&[set("a", 3)]).unwrap();
    new_branch(&fixture, "dev");
    let [one, two, three] = [1, 2, 3].map(module);
    let json = |url: &str| said(&get(&fixture, url, &[])).1.to_string();
    assert_eq!(json("/modules"), format!("{{\"/a\":\"{three}\",\"/dir/b.wasm\":\"{one}\"}}"));
    assert_eq!(json("/modules/dir/"), format!("{{\"/dir/b.wasm\":\"{one}\"}}"));
    assert_eq!(json("//modules//unknown"), "{}");
    assert_eq!(json("/hash/a"), three.to_string());
    assert_eq!(json("/hash"), second.tree.to_string());
    assert_eq!(json(&format!("/hash/{}", two.to_string().to_uppercase())), two.to_string());
    let [first_id, second_id] = [first.id, second.id];
    assert_eq!(json("/versions/a"), format!("[[\"{two}\",\"{first_id}\"],[\"{three}\",\"{second_id}\"]]"));
    assert_eq!(json("/versions/unknown"), "[]");
    assert_eq!(json("/snapshot"), second_id.to_string());
    assert_eq!(json("/branch"), "main");
    assert_eq!(json("/branches"), "[\"dev\",\"main\"]");
    let commit = json(&format!("/commit/{second_id}"));
    let (author, date) = (ALICE.to_text(), second.time_ns / 1_000_000_000);
    let expected = format!(
        "{{\"hash\":\"{second_id}\",\"parents\":[\"{first_id}\"],\"author\":\"{author}\",\"date\":{date},\"message\":\"\"}}"
    );
    assert_eq!(commit, expected);
    assert!(!json(&format!("/commit/{first_id}")).contains("parents"));
    assert_eq!(header(&get(&fixture, "/modules", &[]), "Content-Type"), Some("application/json"));
}

#[test]
fn should_say_why_there_is_nothing() {
    let fixture = Fixture::new();
    let answer = |url: &str| {
        let response = get(&fixture, url, &[]);
        (response.status_code, said(&response).1.to_string())
    };
    // Nothing was committed yet.
    assert_eq!(answer("/modules"), (200, "{}".to_string()));
    assert_eq!(answer("/versions/a"), (200, "[]".to_string()));
    assert_eq!(answer("/snapshot"), (404, "nothing was committed to the branch main".to_string()));
    let folder_only = fixture.commit(&[set("d/a", 1)]).unwrap();
    for absent in ["/module/x", "/module/d", "/module", "/hash/x", "/nothing", "/", "/version"] {
        assert_eq!(answer(absent), (404, String::new()), "{absent}");
    }
    // A module is found by its hash where a path of the branch names it.
    assert_eq!(answer(&format!("/module/{}", module(2))), (404, String::new()));
    assert_eq!(answer("/version/1/d/a"), (404, "Not found".to_string()));
    assert_eq!(answer("/version/0/x").0, 404);
    for bad in ["/version/-1/d/a", "/version/x/d/a", "/version/99999999999/d/a"] {
        assert_eq!(answer(bad).0, 400, "{bad}");
    }
    assert_eq!(answer("/commit/xyz"), (400, "invalid hash".to_string()));
    assert_eq!(answer(&format!("/commit/{}", folder_only.tree)), (404, "invalid commit".to_string()));
    for malformed in ["/module/a/../b", "/hash/./x", "/modules/%2e%2e", "/versions/a%01"] {
        assert_eq!(answer(malformed).0, 400, "{malformed}");
    }
    assert_eq!(said(&get(&fixture, "/modules", &[("wasmstore-branch", "a b")])).0, 400);
    assert_eq!(said(&get(&fixture, "/modules", &[("wasmstore-branch", "missing")])), (200, "{}"));
}

#[test]
fn should_answer_about_the_branch_of_the_request() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    new_branch(&fixture, "dev");
    fixture.commit_on("dev", &[set("a", 2)]).unwrap();
    let hash = |url: &str, headers: &[(&str, &str)]| said(&get(&fixture, url, headers)).1.to_string();
    // Twice each, so that what is certified for one is not answered to the other.
    for _ in 0..2 {
        assert_eq!(hash("/hash/a", &[]), module(1).to_string());
        assert_eq!(hash("/hash/a", &[("Wasmstore-Branch", "dev")]), module(2).to_string());
        assert_eq!(hash("/hash/a?branch=dev", &[]), module(2).to_string());
        assert_eq!(hash("/branch", &[("Wasmstore-Branch", "dev")]), "dev");
        assert_eq!(hash("/branch", &[]), "main");
    }
}

#[test]
fn should_certify_what_was_asked_for_until_something_changes() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let urls = ["/modules", "/hash/a", "/branches", "/module/a", "/hash/none", "/sp%20ace/%C3%A4?x=y"];
    for url in urls {
        assert!(!is_certified(&fixture, url), "{url}");
        get(&fixture, url, &[]);
        assert!(is_certified(&fixture, url), "{url}");
    }
    assert!(urls.iter().all(|url| is_certified(&fixture, url)));
    // What changes nothing leaves them.
    assert!(fixture.commit(&[set("a", 1)]).is_err());
    fixture.state.borrow_mut().forget_outdated_pages();
    assert!(is_certified(&fixture, "/modules"));
    let before = fixture.state.borrow().certified_data();
    fixture.commit(&[set("a", 2)]).unwrap();
    // Also in a query that comes before the pages are forgotten.
    assert!(!is_certified(&fixture, "/modules"));
    fixture.state.borrow_mut().forget_outdated_pages();
    assert!(!is_certified(&fixture, "/modules"));
    assert_ne!(fixture.state.borrow().certified_data(), before);
    assert_eq!(said(&get(&fixture, "/hash/a", &[])), (200, module(2).to_string().as_str()));
    roll_back(&fixture);
    assert!(!is_certified(&fixture, "/hash/a"));
    assert_eq!(said(&get(&fixture, "/hash/a", &[])), (200, module(1).to_string().as_str()));
    fixture.reopen();
    assert!(!is_certified(&fixture, "/hash/a"), "an upgrade begins anew");
}

#[test]
fn should_not_answer_what_was_overtaken_as_if_it_were_certified() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let asked = request("GET", "/api/v1/hash/a", &[]);
    ask(&fixture, &asked);
    let old = query(&fixture, &asked);
    fixture.commit(&[set("a", 2)]).unwrap();
    ask(&fixture, &asked);
    let new = query(&fixture, &asked);
    // The old body under the new certificate, and the new answer for another request.
    let forged = HttpResponse { body: old.body, ..new.clone() };
    assert!(verify(&asked, &forged).is_err());
    let other = request("GET", "/api/v1/hash/a", &[("wasmstore-branch", "dev")]);
    assert!(verify(&other, &new).is_err());
    assert!(verify(&request("GET", "/api/v1/hash/b", &[]), &new).is_err());
    assert!(verify(&request("GET", "/api/v1/hash/a?limit=1", &[]), &new).is_err());
}

#[test]
fn should_forget_commits_that_are_collected() {
    let fixture = Fixture::new();
    let first = fixture.commit(&[set("a", 1)]).unwrap().id;
    fixture.commit(&[set("a", 2)]).unwrap();
    let url = format!("/commit/{first}");
    assert_eq!(get(&fixture, &url, &[]).status_code, 200);
    assert!(is_certified(&fixture, &url));
    let collect = |squash: Option<&str>| {
        // A few steps in each message.
        fixture.runtime.set_instructions_per_look(MAX_GC_SLICE_INSTRUCTIONS / 2);
        let args = CollectGarbageArgs { squash: squash.map(str::to_string) };
        block_on(collect_garbage(&fixture.state, &fixture.runtime, CONTROLLER, args)).unwrap()
    };
    let mut status = collect(Some("main"));
    let mut answers = vec![];
    while !status.finished {
        fixture.state.borrow_mut().forget_outdated_pages();
        answers.push(get(&fixture, &url, &[]).status_code);
        // What is answered again is what was said before, unless it is gone.
        assert_eq!(answers.last(), Some(&query(&fixture, &request("GET", &format!("/api/v1{url}"), &[])).status_code));
        status = collect(None);
    }
    answers.push(get(&fixture, &url, &[]).status_code);
    answers.dedup();
    assert_eq!(answers, [200, 404]);
}

#[test]
fn should_forget_what_it_said_before_a_backup_was_read_in() {
    let other = Fixture::new();
    let rename = RenameBranchArgs { name: "main".to_string(), new_name: "trunk".to_string() };
    rename_branch(&mut other.state.borrow_mut(), &other.runtime, CONTROLLER, rename).unwrap();
    let backup = other.state.borrow().export(&ExportArgs { after: None }).unwrap();
    assert_eq!(backup.next, None);

    let fixture = Fixture::new();
    for number in 0..2 {
        add_publisher(&mut fixture.state.borrow_mut(), &fixture.runtime, CONTROLLER, principal(number)).unwrap();
    }
    let events = fixture.state.borrow().events.len();
    assert_eq!(said(&get(&fixture, "/branch", &[])), (200, "main"));
    let old = query(&fixture, &request("GET", "/api/v1/branch", &[]));
    let args = ImportArgs { position: 0, items: backup.items };
    assert!(import(&mut fixture.state.borrow_mut(), &fixture.runtime, CONTROLLER, args).unwrap().finished);
    fixture.state.borrow_mut().forget_outdated_pages();
    assert_eq!(fixture.state.borrow().events.len(), events, "as many as before");
    assert!(!is_certified(&fixture, "/branch"));
    assert_eq!(said(&get(&fixture, "/branch", &[])), (200, "trunk"));
    let new = query(&fixture, &request("GET", "/api/v1/branch", &[]));
    assert_ne!(old.body, new.body);
}

#[test]
fn should_send_who_wants_bytes_to_the_blob_store() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a/b", 1)]).unwrap();
    fixture.commit(&[set("a/b", 2)]).unwrap();
    let (old, new) = (module(1).to_string(), module(2).to_string());
    let (canister, store) = (CANISTER.to_text(), BLOB_STORE.to_text());
    let location = |url: &str, host: Option<&str>| {
        let headers: Vec<(&str, &str)> = host.iter().map(|host| ("Host", *host)).collect();
        let response = get(&fixture, url, &headers);
        assert_eq!(response.status_code, 307, "{url}");
        header(&response, "Location").unwrap().to_string()
    };
    for url in ["/module/a/b", "/version/1/a/b", &format!("/module/{new}"), "/module//a//b/"] {
        assert_eq!(location(url, None), format!("https://{store}.icp0.io/module/{new}"), "{url}");
    }
    assert_eq!(location("/version/0/a/b", None), format!("https://{store}.icp0.io/module/{old}"));
    for (host, domain) in [
        (format!("{canister}.localhost:4943"), "localhost:4943"),
        (format!("name--{canister}.icp0.io"), "icp0.io"),
        (format!("{}.raw.icp0.io", canister.to_uppercase()), "raw.icp0.io"),
    ] {
        assert_eq!(location("/module/a/b", Some(&host)), format!("//{store}.{domain}/module/{new}"));
    }
    for host in ["example.org", "127.0.0.1:4943", "", "other.icp0.io", &format!("{canister}.x\"y.z")] {
        assert_eq!(location("/module/a/b", Some(host)), format!("https://{store}.icp0.io/module/{new}"), "{host}");
    }
    let by_parameter = location(&format!("/module/a/b?canisterId={canister}"), Some("127.0.0.1:4943"));
    assert_eq!(by_parameter, format!("/module/{new}?canisterId={store}"));

    let response = get(&fixture, "/module/a/b", &[]);
    assert_eq!(header(&response, "Wasmstore-Hash"), Some(new.as_str()));
    assert_eq!(header(&response, "Access-Control-Allow-Origin"), Some("*"));
    let head = ask(&fixture, &request("HEAD", "/api/v1/module/a/b", &[]));
    assert_eq!((said(&head), header(&head, "Wasmstore-Hash")), ((200, ""), Some(new.as_str())));
    assert_eq!(header(&head, "Content-Length"), None, "it is the blob store that knows");
    assert_eq!(ask(&fixture, &request("HEAD", "/api/v1/module/x", &[])).status_code, 404);
}

#[test]
fn should_spare_clients_what_they_have() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let first = get(&fixture, "/modules", &[]);
    let tag = header(&first, "ETag").unwrap().to_string();
    for condition in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_string()] {
        let response = get(&fixture, "/modules", &[("If-None-Match", &condition)]);
        assert_eq!((said(&response), header(&response, "ETag")), ((304, ""), Some(tag.as_str())), "{condition}");
    }
    assert_eq!(get(&fixture, "/modules", &[("If-None-Match", "\"x\"")]), get(&fixture, "/modules", &[]));
    // Which of two would come first is not certified.
    let twice = [("If-None-Match", tag.as_str()), ("If-None-Match", "\"x\"")];
    assert_eq!(get(&fixture, "/modules", &twice).status_code, 200);
    fixture.commit(&[set("a", 2)]).unwrap();
    assert_eq!(get(&fixture, "/modules", &[("If-None-Match", &tag)]).status_code, 200);
    let head = ask(&fixture, &request("HEAD", "/api/v1/modules", &[]));
    assert_eq!((said(&head), header(&head, "Content-Length")), ((200, ""), Some(&*first.body.len().to_string())));
}

#[test]
fn should_list_in_pages_that_fit_together() {
    let fixture = Fixture::new();
    let changes: Vec<_> = (0..7).map(|number| set(&format!("d/{number}"), number)).collect();
    fixture.commit(&changes).unwrap();
    for number in 0..5 {
        fixture.commit(&[set("v", 100 + number)]).unwrap();
    }
    let whole = |url: &str| said(&get(&fixture, url, &[])).1.to_string();
    for (url, [open, close]) in [("/modules/d", ['{', '}']), ("/versions/v", ['[', ']'])] {
        let expected = whole(url);
        let mut next = Some(format!("{url}?limit=2"));
        let mut parts = vec![];
        while let Some(url) = next {
            let page = get(&fixture, &url, &[]);
            parts.push(said(&page).1.trim_start_matches(open).trim_end_matches(close).to_string());
            next = header(&page, "Link").map(|link| {
                let url = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
                url.strip_prefix("/api/v1").unwrap().to_string()
            });
            // The list is that of the commit it began with.
            if parts.len() == 1 {
                fixture.commit(&[remove("d"), set("v", 200)]).unwrap();
            }
        }
        let joined = if open == '[' {
            format!("[[{}]]", parts.iter().map(|part| part.trim_matches(['[', ']'])).collect::<Vec<_>>().join("],["))
        } else {
            format!("{{{}}}", parts.join(","))
        };
        assert_eq!(joined, expected);
        assert!(parts.len() >= 3);
        roll_back(&fixture);
    }
    let canister = CANISTER.to_text();
    let page = get(&fixture, &format!("/modules?limit=1&canisterId={canister}&branch=main"), &[]);
    let link = header(&page, "Link").unwrap();
    assert!(link.ends_with(&format!("&branch=main&canisterId={canister}>; rel=\"next\"")), "{link}");
    let page = get(&fixture, "/modules?limit=1&canisterId=x", &[]);
    assert!(!header(&page, "Link").unwrap().contains("canisterId"));
    for bad in ["limit=0", "limit=501", "limit=x", "after=0", "after=zz", "after=00"] {
        assert_eq!(get(&fixture, &format!("/modules?{bad}"), &[]).status_code, 400, "{bad}");
    }
    let gone = "0".repeat(64);
    assert_eq!(get(&fixture, &format!("/modules?after={gone}"), &[]).status_code, 404);
    assert_eq!(get(&fixture, "/modules?limit=500", &[]).status_code, 200);
}

#[test]
fn should_refuse_to_list_more_than_an_answer_holds() {
    let fixture = Fixture::new();
    // Besides its path, an entry has the hash, four quotes, slash and colon, and a comma or the bracket that opens.
    let bytes = |path: usize| path + 64 + 7;
    let path =
        |number: usize, length: usize| format!("{number:0>100}/{}/{}", "x".repeat(200), "y".repeat(length - 302));
    // What is left for the entries, without the bracket that closes.
    let mut left = MAX_HTTP_BODY_BYTES - 1;
    let mut changes = vec![];
    while left > 3 * bytes(500) {
        changes.push(set(&path(changes.len(), 500), 1));
        left -= bytes(500);
    }
    for changes in changes.chunks(100) {
        fixture.commit(changes).unwrap();
    }
    let third = left / 3 - bytes(0);
    let last = left - bytes(third) - bytes(third) - bytes(0);
    let ends = |last: usize| {
        [("a", third), ("b", third), ("c", last)].map(|(end, length)| format!("{end}{}", &path(0, length)[1..]))
    };
    let set_ends = |last: usize| ends(last).map(|path| set(&path, 1));
    fixture.commit(&set_ends(last)).unwrap();
    let response = get(&fixture, "/modules", &[]);
    assert_eq!((response.status_code, response.body.len()), (200, MAX_HTTP_BODY_BYTES));
    let [_, _, shorter] = ends(last);
    let [_, _, longer] = set_ends(last + 1);
    fixture.commit(&[remove(&shorter), longer]).unwrap();
    let response = get(&fixture, "/modules", &[]);
    assert_eq!(response.status_code, 400, "{}", said(&response).1);
    assert_eq!(get(&fixture, "/modules?limit=500", &[]).status_code, 200);
}

#[test]
fn should_keep_as_many_pages_as_it_may() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let url = |number: usize| format!("/hash/{number}");
    for number in 0..MAX_CERTIFIED_PAGES {
        let asked = request("GET", &format!("/api/v1{}", url(number)), &[]);
        fixture.state.borrow_mut().http_request_update(&asked, CANISTER);
    }
    assert!(is_certified(&fixture, &url(0)) && is_certified(&fixture, &url(MAX_CERTIFIED_PAGES - 1)));
    // Again: nothing is forgotten for what is there.
    get(&fixture, &url(3), &[]);
    assert!(is_certified(&fixture, &url(0)));
    get(&fixture, &url(MAX_CERTIFIED_PAGES), &[]);
    assert!(is_certified(&fixture, &url(MAX_CERTIFIED_PAGES)));
    assert!(!is_certified(&fixture, &url(0)));
}

#[test]
fn should_answer_nothing_outside_of_the_interface() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    get(&fixture, "/hash/a", &[]);
    for url in ["/", "/favicon.ico", "/x/y/", "/apis?x", "/%20"] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let response = query(&fixture, &request(method, url, &[]));
            assert_eq!((response.status_code, response.upgrade), (404, None), "{method} {url}");
        }
    }
    // That there is nothing cannot be said of what there is, asked for before or not: not with the proof for another
    // path, nor with one of its own.
    let nothing = query(&fixture, &request("GET", "/x", &[]));
    for url in ["/api/v1/hash/a", "/api/v1/hash/d", "/api/v1", "/api"] {
        let asked = request("GET", url, &[]);
        assert!(verify(&asked, &nothing).is_err(), "{url}");
        let state = fixture.state.borrow();
        let forged = state.unstable_pages.nothing_there(
            &Asked::read(&asked).unwrap(),
            &certificate(&state.certified_data()),
            |http| state.tree_around(http),
        );
        assert!(verify(&asked, &forged).is_err(), "{url}");
    }
}

#[test]
fn should_certify_no_path_that_looks_like_the_tree_itself() {
    let fixture = Fixture::new();
    fixture.commit(&[set("<$>/<*>", 1), set("x", 2)]).unwrap();
    for url in ["/hash/%3C$%3E/%3C*%3E", "/hash/%3C$%3E"] {
        assert_eq!(get(&fixture, url, &[]).status_code, 200, "{url}");
        assert!(!is_certified(&fixture, url), "{url}");
    }
}

#[test]
fn should_only_read() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for url in ["/module/a", "/rollback", "/gc"] {
            let asked = request(method, &format!("/api/v1{url}"), &[]);
            let response = ask(&fixture, &asked);
            assert_eq!((response.status_code, header(&response, "Allow")), (405, Some("GET, HEAD, OPTIONS")));
            assert_eq!(query(&fixture, &asked).upgrade, Some(true));
        }
    }
    let options = ask(&fixture, &request("OPTIONS", "/api/v1/module/a", &[]));
    assert_eq!(options.status_code, 204);
    assert!(header(&options, "Access-Control-Allow-Headers").unwrap().contains("Wasmstore-Branch"));
    assert_eq!(fixture.found("main", "a"), Some(module(1)));
    for malformed in [request("G T", "/api/v1/branch", &[]), request("GET", "/api/v1/%ff", &[])] {
        assert_eq!(query(&fixture, &malformed).upgrade, Some(true));
        assert_eq!(fixture.state.borrow_mut().http_request_update(&malformed, CANISTER).status_code, 400);
    }
}

#[test]
fn should_answer_other_canisters_without_a_certificate() {
    let fixture = Fixture::new();
    fixture.commit(&[set("a", 1)]).unwrap();
    let response = fixture.state.borrow().http_request(&request("GET", "/api/v1/hash/a", &[]), CANISTER, None);
    assert_eq!((said(&response), response.upgrade), ((200, module(1).to_string().as_str()), None));
}
