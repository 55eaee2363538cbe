use std::{cell::Cell, rc::Rc};

use depot_types::{
    blob_store::{CommitUploadError, RetainError, StorageFull},
    wasm::Budget,
};

use super::*;
use crate::lifecycle;
use crate::room::Backing;
use crate::test_fixtures::{
    ALICE, BOB, CATALOG, CONTROLLER, Module, NOW, TestState, begin, new_args, new_manager, new_state, principal,
    put_all, seal, uploader,
};

const EXPIRY: u64 = NOW + UPLOAD_LIFETIME_NS;

#[test]
fn should_ask_for_all_chunks_of_a_new_module_and_take_them_in_any_order() {
    let mut state = new_state();
    let module = Module::large(2, 1);
    let begun = state.begin_upload(uploader(ALICE), NOW, &module.declaration()).unwrap();
    let open = OpenUpload {
        module_hash: module.hash,
        size: module.bytes.len() as u64,
        chunk_count: 3,
        missing: vec![0, 1, 2],
        expires_at_ns: EXPIRY,
    };
    assert_eq!(begun, UploadStatus::Open(open.clone()));
    for (index, missing_count) in [(2, 2), (2, 2), (0, 1), (1, 0)] {
        let put = state.put_chunk(uploader(ALICE), NOW, &module.put(index)).unwrap();
        assert_eq!(put, PutChunkOk { missing_count, expires_at_ns: EXPIRY });
        state.check_invariants();
    }
    let status = state.upload_status(ALICE, NOW, &module.hash);
    assert_eq!(status, Some(UploadStatus::Open(OpenUpload { missing: vec![], ..open })));
    assert_eq!(state.upload_status(BOB, NOW, &module.hash), None);
}

#[test]
fn should_refuse_callers_that_may_not_upload() {
    let mut state = new_state();
    let declaration = Module::small(1).declaration();
    let anonymous = uploader(Principal::anonymous());
    assert_eq!(state.begin_upload(anonymous, NOW, &declaration), Err(BeginUploadError::AnonymousCaller));
    let other = principal(9);
    let refused = Err(BeginUploadError::NotAllowed { caller: other });
    assert_eq!(state.begin_upload(uploader(other), NOW, &declaration), refused);
    assert!(state.begin_upload(CONTROLLER, NOW, &declaration).is_ok());
}

#[test]
fn should_take_sizes_up_to_the_limit_with_the_right_number_of_chunks() {
    let mut state = new_state();
    let mut begin = |size, chunks| {
        let args =
            BeginUploadArgs { module_hash: Hash::of(b"module"), size, chunk_hashes: vec![Hash::of(b"chunk"); chunks] };
        state.begin_upload(uploader(ALICE), NOW, &args).map(|_| ())
    };
    let invalid = |size| Err(BeginUploadError::InvalidSize { size, max: MAX_MODULE_BYTES });
    assert_eq!(begin(0, 0), invalid(0));
    assert_eq!(begin(MAX_MODULE_BYTES + 1, 101), invalid(MAX_MODULE_BYTES + 1));
    for received in [99, 101] {
        let wrong = Err(BeginUploadError::WrongChunkCount { expected: 100, received });
        assert_eq!(begin(MAX_MODULE_BYTES, received as usize), wrong);
    }
    assert_eq!(begin(MAX_MODULE_BYTES, 100), Ok(()));
}

#[test]
fn should_refuse_another_declaration_of_an_open_upload() {
    let mut state = new_state();
    let module = Module::small(1);
    put_all(&mut state, uploader(ALICE), NOW, &module);
    let mut other = module.declaration();
    other.chunk_hashes[0] = Hash::of(b"other");
    assert_eq!(state.begin_upload(uploader(ALICE), NOW, &other), Err(BeginUploadError::DeclaredDifferently));
    let other = BeginUploadArgs { size: other.size + 1, ..module.declaration() };
    assert_eq!(state.begin_upload(uploader(ALICE), NOW, &other), Err(BeginUploadError::DeclaredDifferently));
    assert!(state.begin_upload(uploader(BOB), NOW, &other).is_ok());
    assert_eq!(begin(&mut state, uploader(ALICE), NOW, &module), [0; 0]);
}

#[test]
fn should_refuse_chunks_that_are_not_those_declared() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    let no_upload = Err(PutChunkError::NoUpload { module_hash: module.hash });
    assert_eq!(state.put_chunk(uploader(ALICE), NOW, &module.put(0)), no_upload);
    begin(&mut state, uploader(ALICE), NOW, &module);
    assert_eq!(state.put_chunk(uploader(BOB), NOW, &module.put(0)), no_upload);
    let out_of_range = Err(PutChunkError::IndexOutOfRange { index: 2, chunk_count: 2 });
    assert_eq!(state.put_chunk(uploader(ALICE), NOW, &PutChunkArgs { index: 2, ..module.put(1) }), out_of_range);
    let mut long = module.put(1);
    let expected = long.bytes.len() as u64;
    long.bytes.push(0);
    let wrong_size = Err(PutChunkError::WrongSize { expected, received: expected + 1 });
    assert_eq!(state.put_chunk(uploader(ALICE), NOW, &long), wrong_size);
    let mut wrong = module.put(1);
    wrong.bytes[0] ^= 1;
    let [_, expected] = module.chunk_hashes()[..] else { unreachable!() };
    let wrong_hash = Err(PutChunkError::WrongHash { expected, received: Hash::of(&wrong.bytes) });
    assert_eq!(state.put_chunk(uploader(ALICE), NOW, &wrong), wrong_hash);
    assert_eq!(begin(&mut state, uploader(ALICE), NOW, &module), [0, 1]);
    state.check_invariants();
}

#[test]
fn should_share_chunks_and_keep_them_while_anything_refers_to_them() {
    let mut state = new_state();
    let (first, second) = (Module::large(2, 1), Module::large(2, 2));
    // The two whole chunks of a large module differ, since the first one has the header.
    put_all(&mut state, uploader(ALICE), NOW, &first);
    assert_eq!(begin(&mut state, uploader(BOB), NOW, &second), [2]);
    assert!(state.abort_upload(ALICE, NOW, &first.hash));
    assert!(!state.abort_upload(ALICE, NOW, &first.hash));
    state.check_invariants();
    assert_eq!(begin(&mut state, uploader(BOB), NOW, &second), [2]);
    assert_eq!(state.stats(0, vec![]).chunks, 2);
    assert!(state.abort_upload(BOB, NOW, &second.hash));
    let empty = state.stats(0, vec![]);
    assert_eq!((empty.chunks, empty.chunk_bytes, empty.uploads), (0, 0, 0));
    state.check_invariants();
}

#[test]
fn should_see_chunks_that_others_put_meanwhile_and_miss_them_when_they_go() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    begin(&mut state, uploader(ALICE), NOW, &module);
    put_all(&mut state, uploader(BOB), NOW, &module);
    let missing = |state: &State<_>| match state.upload_status(ALICE, NOW, &module.hash) {
        Some(UploadStatus::Open(open)) => open.missing,
        other => panic!("not open: {other:?}"),
    };
    assert_eq!(missing(&state), [0; 0]);
    state.abort_upload(BOB, NOW, &module.hash);
    assert_eq!(missing(&state), [0, 1]);
    state.check_invariants();
}

#[test]
fn should_take_a_chunk_once_for_all_its_places() {
    let mut state = new_state();
    let bytes = vec![5; 3 << 20];
    let module = Module::new(bytes);
    assert_eq!(begin(&mut state, uploader(ALICE), NOW, &module), [0, 1, 2]);
    let put = state.put_chunk(uploader(ALICE), NOW, &module.put(1)).unwrap();
    assert_eq!(put.missing_count, 0);
    assert_eq!(state.stats(0, vec![]).chunks, 1);
    state.check_invariants();
    state.abort_upload(ALICE, NOW, &module.hash);
    state.check_invariants();
    assert_eq!(state.stats(0, vec![]).chunks, 0);
}

#[test]
fn should_not_take_a_chunk_of_another_size_for_the_one_declared() {
    let mut state = new_state();
    let module = Module::small(1);
    put_all(&mut state, uploader(ALICE), NOW, &module);
    let lie = BeginUploadArgs {
        module_hash: Hash::of(b"lie"),
        size: module.bytes.len() as u64 + 1,
        chunk_hashes: module.chunk_hashes(),
    };
    let Ok(UploadStatus::Open(open)) = state.begin_upload(uploader(BOB), NOW, &lie) else { panic!() };
    assert_eq!(open.missing, [0]);
    state.check_invariants();
}

#[test]
fn should_expire_a_day_after_the_last_thing_put() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    begin(&mut state, uploader(ALICE), NOW, &module);
    let later = EXPIRY - 1;
    let put = state.put_chunk(uploader(ALICE), later, &module.put(0)).unwrap();
    assert_eq!(put.expires_at_ns, later + UPLOAD_LIFETIME_NS);
    let last = put.expires_at_ns - 1;
    assert!(state.upload_status(ALICE, last, &module.hash).is_some());
    assert_eq!(state.upload_status(ALICE, last + 1, &module.hash), None);
    let no_upload = Err(PutChunkError::NoUpload { module_hash: module.hash });
    assert_eq!(state.put_chunk(uploader(ALICE), last + 1, &module.put(1)), no_upload);
    assert!(!state.abort_upload(ALICE, last + 1, &module.hash));
    assert_eq!(state.stats(0, vec![]).chunks, 0);
    state.check_invariants();
}

#[test]
fn should_sweep_expired_uploads_some_at_a_time() {
    let mut state = new_state();
    for seed in 0..MAX_UPLOADS_SWEPT as u8 + 1 {
        put_all(&mut state, uploader(ALICE), NOW + u64::from(seed), &Module::small(seed));
    }
    let later = EXPIRY + 100;
    begin(&mut state, uploader(BOB), later, &Module::small(100));
    assert_eq!(state.stats(0, vec![]).uploads, 2);
    begin(&mut state, uploader(BOB), later, &Module::small(101));
    assert_eq!(state.stats(0, vec![]).uploads, 2);
    assert_eq!(state.stats(0, vec![]).chunks, 0);
    state.check_invariants();
}

#[test]
fn should_open_so_many_uploads_of_a_principal_and_no_more() {
    let mut state = new_state();
    for seed in 0..MAX_UPLOADS_PER_PRINCIPAL as u8 {
        begin(&mut state, uploader(ALICE), NOW, &Module::small(seed));
    }
    let one_more = Module::small(100);
    let refused = Err(BeginUploadError::TooManyUploads { open: 8, max: MAX_UPLOADS_PER_PRINCIPAL });
    assert_eq!(state.begin_upload(uploader(ALICE), NOW, &one_more.declaration()), refused);
    // An open one can be taken up again, others are not affected, and what ends or expires makes room.
    begin(&mut state, uploader(ALICE), NOW, &Module::small(0));
    begin(&mut state, uploader(BOB), NOW, &one_more);
    assert!(state.abort_upload(ALICE, NOW, &Module::small(1).hash));
    begin(&mut state, uploader(ALICE), NOW, &one_more);
    for seed in 200..200 + MAX_UPLOADS_PER_PRINCIPAL as u8 {
        begin(&mut state, uploader(ALICE), EXPIRY, &Module::small(seed));
    }
    state.check_invariants();
}

#[test]
fn should_open_so_many_uploads_in_all_and_no_more() {
    let mut state = new_state();
    let module = Module::small(1);
    let controller = |number| Caller { principal: principal(number), is_controller: true };
    for number in 0..u64::from(MAX_UPLOADS) {
        begin(&mut state, controller(number), NOW, &module);
    }
    let refused = Err(BeginUploadError::StoreBusy { open: MAX_UPLOADS, max: MAX_UPLOADS });
    assert_eq!(state.begin_upload(uploader(ALICE), NOW, &module.declaration()), refused);
    begin(&mut state, controller(0), NOW, &module);
    begin(&mut state, uploader(ALICE), EXPIRY, &module);
}

#[test]
fn should_answer_a_sealed_module_and_end_the_upload() {
    let mut state = new_state();
    let module = Module::large(1, 1);
    put_all(&mut state, uploader(BOB), NOW, &module);
    let info = seal(&mut state, ALICE, &module);
    assert_eq!(state.upload_status(BOB, NOW, &module.hash), Some(UploadStatus::Sealed(info.clone())));
    assert_eq!(state.stats(0, vec![]).uploads, 1);
    let begun = state.begin_upload(uploader(BOB), NOW, &module.declaration());
    assert_eq!(begun, Ok(UploadStatus::Sealed(info)));
    assert_eq!(state.stats(0, vec![]).uploads, 0);
    state.check_invariants();
}

#[test]
fn should_change_nothing_when_there_is_no_room() {
    let manager = new_manager();
    let pages = Rc::new(Cell::new(u64::MAX));
    let known = Rc::clone(&pages);
    let backing = Backing { bucket_pages: 2, pages: Box::new(move || known.get()) };
    let mut state = State::open(|id| manager.get(id), backing).unwrap();
    lifecycle::apply(&mut state, Some(new_args())).unwrap();
    state.add_holder(CONTROLLER, CATALOG).unwrap();
    let (sealed, whole, begun) = (Module::small(1), Module::small(2), Module::large(1, 1));
    seal(&mut state, ALICE, &sealed);
    put_all(&mut state, uploader(ALICE), NOW, &whole);
    begin(&mut state, uploader(ALICE), NOW, &begun);

    pages.set(1);
    let before = state.stats(0, vec![]);
    let other = Module::small(3);
    let Err(BeginUploadError::StorageFull(StorageFull { needed, .. })) =
        state.begin_upload(uploader(ALICE), NOW, &other.declaration())
    else {
        panic!("there is room")
    };
    assert!(needed > 1 << 20);
    let put = state.put_chunk(uploader(ALICE), NOW, &begun.put(0));
    assert!(matches!(put, Err(PutChunkError::StorageFull(_))));
    let committed = state.commit_upload(uploader(ALICE), NOW, &whole.hash, Budget::UNLIMITED);
    assert!(matches!(committed, Err(CommitUploadError::StorageFull(_))));
    assert!(matches!(state.retain(CATALOG, &[sealed.hash]), Err(RetainError::StorageFull(_))));
    assert_eq!(state.stats(0, vec![]), before);
    state.check_invariants();

    // Exactly what was said to be needed is enough.
    pages.set(needed >> 16);
    begin(&mut state, uploader(ALICE), NOW, &other);
    pages.set(u64::MAX);
    state.put_chunk(uploader(ALICE), NOW, &begun.put(0)).unwrap();
    state.commit_upload(uploader(ALICE), NOW, &whole.hash, Budget::UNLIMITED).unwrap();
    state.retain(CATALOG, &[sealed.hash]).unwrap();
    state.check_invariants();
}

#[test]
fn should_fill_stable_memory_to_its_end_and_use_what_is_freed() {
    let manager = new_manager();
    let pages = Rc::new(Cell::new(0));
    let known = Rc::clone(&pages);
    let backing = Backing { bucket_pages: 2, pages: Box::new(move || known.get()) };
    let mut state = State::open(|id| manager.get(id), backing).unwrap();
    lifecycle::apply(&mut state, Some(new_args())).unwrap();
    let modules: Vec<Module> = (0..6).map(|seed| Module::new(vec![seed; 1 << 20])).collect();
    let upload = |state: &mut TestState, module: &Module| {
        let begun = state.begin_upload(uploader(ALICE), NOW, &module.declaration());
        begun.map(|_| state.put_chunk(uploader(ALICE), NOW, &module.put(0)).unwrap())
    };
    let needed = |refused: Result<PutChunkOk, BeginUploadError>| match refused {
        Err(BeginUploadError::StorageFull(StorageFull { needed, .. })) => needed >> 16,
        other => panic!("{other:?}"),
    };
    // Stable memory ends where a few more chunks fit, and records of them.
    let end = needed(upload(&mut state, &modules[0])) + 3 * 16 + 30;
    let mut stored = 0;
    loop {
        let more = needed(upload(&mut state, &modules[stored]));
        if more > end {
            break;
        }
        pages.set(more);
        upload(&mut state, &modules[stored]).unwrap();
        stored += 1;
    }
    assert!((3..=5).contains(&stored), "{stored}");
    let before = state.stats(0, vec![]);
    assert_eq!((before.chunks, before.uploads), (stored as u64, stored as u64));
    assert!(needed(upload(&mut state, &modules[stored])) > end);
    assert_eq!(state.stats(0, vec![]), before);
    state.check_invariants();
    // What is there can be read and put again, and what goes makes room.
    state.put_chunk(uploader(ALICE), NOW, &modules[0].put(0)).unwrap();
    assert!(state.abort_upload(ALICE, NOW, &modules[1].hash));
    upload(&mut state, &modules[stored]).unwrap();
    assert!(needed(upload(&mut state, &modules[1])) > end);
    state.check_invariants();
}

#[test]
fn should_have_so_many_bytes_in_flight_and_no_more() {
    let mut state = new_state();
    let declare = |state: &mut State<_>, number: u8, size: u64| {
        let chunk_hashes = vec![Hash::of(b"chunk"); chunk::count(size) as usize];
        let args = BeginUploadArgs { module_hash: Hash::of(&[number]), size, chunk_hashes };
        state.begin_upload(uploader(ALICE), NOW, &args).map(|_| ())
    };
    for number in 0..3 {
        declare(&mut state, number, MAX_MODULE_BYTES).unwrap();
    }
    declare(&mut state, 3, MAX_MODULE_BYTES - 1).unwrap();
    let (in_flight, max) = (MAX_BYTES_IN_FLIGHT - 1, MAX_BYTES_IN_FLIGHT);
    let refused = Err(BeginUploadError::TooManyBytesInFlight { declared: 2, in_flight, max });
    assert_eq!(declare(&mut state, 4, 2), refused);
    declare(&mut state, 5, 1).unwrap();
    // One that is open is taken up again, and does not count twice.
    declare(&mut state, 0, MAX_MODULE_BYTES).unwrap();
    assert!(state.abort_upload(ALICE, NOW, &Hash::of(&[0])));
    declare(&mut state, 4, 2).unwrap();
}

#[test]
fn should_store_so_many_bytes_of_a_principal_and_no_more() {
    let mut state = new_state();
    let (first, second, third) = (Module::small(1), Module::small(2), Module::small(3));
    let size = first.bytes.len() as u64;
    state.header.set_max_stored_bytes(2 * size);
    seal(&mut state, ALICE, &first);
    begin(&mut state, uploader(ALICE), NOW, &second);
    let max = 2 * size;
    let refused = BeginUploadError::TooManyBytesStored { declared: size, in_flight: size, stored: size, max };
    assert_eq!(state.begin_upload(uploader(ALICE), NOW, &third.declaration()), Err(refused));
    begin(&mut state, uploader(BOB), NOW, &third);
    state.header.set_max_stored_bytes(3 * size);
    begin(&mut state, uploader(ALICE), NOW, &third);
}

#[test]
fn should_refuse_chunks_of_an_uploader_that_lost_the_right() {
    let mut state = new_state();
    let module = Module::small(1);
    // A controller that is none any more has its upload still.
    put_all(&mut state, CONTROLLER, NOW, &module);
    let caller = CONTROLLER.principal;
    let refused = state.put_chunk(uploader(caller), NOW, &module.put(0));
    assert_eq!(refused, Err(PutChunkError::NotAllowed { caller }));
    let refused = state.commit_upload(uploader(caller), NOW, &module.hash, Budget::UNLIMITED);
    assert_eq!(refused, Err(CommitUploadError::NotAllowed { caller }));
    assert!(state.abort_upload(caller, NOW, &module.hash));
    state.check_invariants();
}
