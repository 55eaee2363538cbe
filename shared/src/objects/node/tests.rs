use proptest::prelude::*;

use super::*;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of `docs/object-format.md`: a module `a.wasm` whose hash is thirty-two bytes `11`.
fn lib() -> Node {
    Node::leaf([("a.wasm".to_string(), Entry::Module(Hash::new([0x11; 32])))])
}

/// The folder of `docs/object-format.md` that leads to [`lib`].
fn top(lib: Hash) -> Node {
    Node::leaf([
        ("Z".to_string(), Entry::Module(Hash::new([0x11; 32]))),
        ("lib".to_string(), Entry::Folder(lib)),
        ("é".to_string(), Entry::Module(Hash::new([0x22; 32]))),
    ])
}

/// The node of level 1 of `docs/object-format.md`.
fn inner(lib: Hash) -> Node {
    let child = |first: &str, names| Child { first: first.to_string(), id: lib, names };
    Node::Inner { level: 1, children: vec![child("a", 17), child(&second_first(), 3)] }
}

/// The first of the names `f0`, `f1`, … that starts a node of level 0 but none above.
fn second_first() -> String {
    (0..).map(|number| format!("f{number}")).find(|name| name_level(name) == 1).unwrap()
}

#[test]
fn should_encode_the_documented_nodes() {
    let empty = Node::Leaf(vec![]).encode();
    assert_eq!(hex(&empty.bytes), "83020080");
    let lib = lib().encode();
    let (ones, twos) = ("11".repeat(32), "22".repeat(32));
    assert_eq!(hex(&lib.bytes), format!("83020081{}", format_args!("8366612e7761736d005820{ones}")));
    let top = top(lib.id).encode();
    let (z, l, e) =
        (format!("83615a005820{ones}"), format!("83636c6962015820{}", lib.id), format!("8362c3a9005820{twos}"));
    assert_eq!(hex(&top.bytes), format!("83020083{z}{l}{e}"));
    let first = second_first();
    let inner = inner(lib.id).encode();
    let (one, two) =
        (format!("8361615820{}11", lib.id), format!("836{}{}5820{}03", first.len(), hex(first.as_bytes()), lib.id));
    assert_eq!(hex(&inner.bytes), format!("83020182{one}{two}"));
    let written = include_str!("../../../../docs/object-format.md");
    for object in [empty, lib, top, inner] {
        assert!(written.contains(&hex(&object.bytes)), "{}", hex(&object.bytes));
        assert!(written.contains(&object.id.to_string()), "{}", object.id);
    }
    let levels: Vec<String> =
        ["a.wasm", first.as_str(), "lib"].iter().map(|name| format!("| `{name}` | {} |", name_level(name))).collect();
    for level in levels {
        assert!(written.contains(&level), "{level}");
    }
}

#[test]
fn should_read_folders_of_version_1() {
    let ones = "11".repeat(32);
    let bytes = unhex(&format!("8201818366612e7761736d005820{ones}"));
    let (tag, node) = Node::decode_tagged(&bytes).unwrap();
    assert_eq!((tag, node), (Node::TAG_V1, lib()));
    let (id, _) = super::super::Object::read(&bytes).unwrap();
    assert_eq!(id.to_string(), "c53fe5f16398495ffa9a6518de58c864fd5220170af536483b3f496d87c138ec");
    let (id, _) = super::super::Object::read(&unhex("820180")).unwrap();
    assert_eq!(id.to_string(), "f1bd1eefe6febfecf02b3c949251491d5ba597e2bb8483681c32e2b570f1fc94");
}

#[test]
fn should_refuse_what_it_would_not_write() {
    let good = lib().encode().bytes;
    assert_eq!(Node::decode(&good), Ok(lib()));
    let mut version = good.clone();
    version[1] = 3;
    assert_eq!(Node::decode(&version), Err(DecodeError::UnknownVersion { version: 3 }));
    let kind = good.iter().rposition(|byte| *byte == 0).unwrap();
    let mut other = good.clone();
    other[kind] = 2;
    assert_eq!(Node::decode(&other), Err(DecodeError::Unexpected));
    assert_eq!(Node::decode(&[&good[..], &[0]].concat()), Err(DecodeError::TrailingBytes));
    assert_eq!(Node::decode(&good[..good.len() - 1]), Err(DecodeError::Truncated));

    let entry = hex(&good)["83020081".len()..].to_string();
    assert_eq!(Node::decode(&unhex(&format!("83020082{entry}{entry}"))), Err(DecodeError::Unsorted));
    let earlier = entry.replacen("612e7761736d", "412e7761736d", 1);
    assert!(Node::decode(&unhex(&format!("83020082{earlier}{entry}"))).is_ok());
    assert_eq!(Node::decode(&unhex(&format!("83020082{entry}{earlier}"))), Err(DecodeError::Unsorted));
    assert_eq!(Node::decode(&unhex("8302008183616100421111")), Err(DecodeError::WrongLength { bytes: 2 }));
    assert_eq!(Node::decode(&unhex("83020180")), Err(DecodeError::Unexpected), "a node without children");
    assert_eq!(Node::decode(&unhex("83021180")), Err(DecodeError::Unexpected), "a level that no name has");
}

#[test]
fn should_refuse_names_that_belong_into_another_node() {
    let name = second_first();
    let module = Entry::Module(Hash::default());
    let node = Node::leaf([("a".to_string(), module), (name.clone(), module)]);
    assert_eq!(Node::decode(&node.encode().bytes), Err(DecodeError::Misplaced));
    let alone = Node::leaf([(name.clone(), module)]);
    assert_eq!(Node::decode(&alone.encode().bytes), Ok(alone));
    let child = |first: &str| Child { first: first.to_string(), id: Hash::default(), names: 1 };
    for (level, first) in [(1, "b"), (2, name.as_str())] {
        assert_ne!(name_level(first), level);
        let node = Node::Inner { level, children: vec![child("a"), child(first)] };
        assert_eq!(Node::decode(&node.encode().bytes), Err(DecodeError::Misplaced));
    }
}

#[test]
fn should_spread_names_over_levels() {
    let mut counts = [0; 4];
    for number in 0..65_536 {
        let level = usize::from(name_level(&format!("module-{number}.wasm"))).min(3);
        counts[level] += 1;
    }
    assert!((60_500..62_500).contains(&counts[0]), "{counts:?}");
    assert!((3_500..4_200).contains(&counts[1]), "{counts:?}");
    assert!((180..310).contains(&counts[2]), "{counts:?}");
}

fn nodes() -> impl Strategy<Value = Node> {
    let entries = prop::collection::btree_map("\\PC{1,20}", (any::<bool>(), any::<[u8; 32]>()), 0..30);
    entries.prop_map(|entries| {
        let entry = |(module, hash): (bool, [u8; 32])| {
            if module { Entry::Module(Hash::new(hash)) } else { Entry::Folder(Hash::new(hash)) }
        };
        Node::leaf(entries.into_iter().filter(|(name, _)| name_level(name) == 0).map(|(name, it)| (name, entry(it))))
    })
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(node in nodes()) {
        prop_assert_eq!(Node::decode(&node.encode().bytes), Ok(node));
    }

    #[test]
    fn should_have_one_encoding_only(node in nodes(), position in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = node.encode().bytes;
        let position = position.index(bytes.len());
        bytes[position] ^= 1u8 << bit;
        if let Ok((Node::TAG, other)) = Node::decode_tagged(&bytes) {
            prop_assert_eq!(other.encode().bytes, bytes);
        }
    }
}
