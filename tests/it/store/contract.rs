//! The tests every backend passes: each sentence of the contract in `src/store/backend.rs`.

use futures::StreamExt;
use futures::future::join_all;
use promsafe::store::{Backend, Part, StoreError};
use tokio::sync::mpsc;

/// More than one page of any server's listing.
const MANY: usize = 1005;

/// Names that file systems, addresses and XML each treat as special.
const ODD: [&str; 12] = [
    "with space",
    "plus+sign",
    "percent%2Fencoded",
    "ünïcode-雪",
    "colon:at@semi;",
    "quote'double\"amp&less<more>",
    ".hidden",
    "tail.",
    "equals=comma,",
    "~tilde",
    "back\\slash",
    "question?hash#",
];

/// Holds a backend to its contract. It must be empty, and is empty afterwards.
pub(crate) async fn holds(backend: &dyn Backend) {
    absent_objects_are_none(backend).await;
    nothing_is_overwritten(backend).await;
    ranges_are_cut_at_the_end(backend).await;
    sizes_are_kept(backend).await;
    parts_make_up_the_whole(backend).await;
    prefixes_are_exact(backend).await;
    odd_keys_come_back(backend).await;
    keys_that_are_none_are_refused(backend).await;
    long_listings_are_complete(backend).await;
    deleting_twice_is_no_error(backend).await;
    remove_all(backend).await;
    assert_eq!(backend.list("").await.unwrap(), [""; 0]);
}

/// Of several writers of one key, one succeeds, and its bytes stay.
pub(crate) async fn one_of_many_writers_wins(backend: &dyn Backend) {
    for round in 0..10 {
        let key = format!("race/{round}");
        let writes = (0..8u8).map(|n| backend.put_new(&key, vec![n; 1000]));
        let results = join_all(writes).await;
        let winners: Vec<usize> = (0..8).filter(|n| results[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {results:?}");
        let there = backend.get(&key).await.unwrap().unwrap();
        assert_eq!(there, vec![u8::try_from(winners[0]).unwrap(); 1000]);
    }
    remove_all(backend).await;
}

async fn put(backend: &dyn Backend, key: &str, bytes: &[u8]) {
    backend.put_new(key, bytes.to_vec()).await.unwrap();
}

async fn remove_all(backend: &dyn Backend) {
    let keys = backend.list("").await.unwrap();
    let deletions = futures::stream::iter(&keys).map(|key| backend.delete(key)).buffer_unordered(16);
    deletions.for_each(|deleted| async { deleted.unwrap() }).await;
}

async fn absent_objects_are_none(backend: &dyn Backend) {
    assert_eq!(backend.list("").await.unwrap(), [""; 0]);
    for key in ["absent", "absent/below"] {
        assert_eq!(backend.get(key).await.unwrap(), None);
        assert_eq!(backend.get_range(key, 0..5).await.unwrap(), None);
        assert_eq!(backend.get_range(key, 3..3).await.unwrap(), None);
        assert_eq!(backend.list(key).await.unwrap(), [""; 0]);
        backend.delete(key).await.unwrap();
    }
}

async fn nothing_is_overwritten(backend: &dyn Backend) {
    put(backend, "once/a", b"first").await;
    for bytes in [b"second".to_vec(), b"first".to_vec(), Vec::new()] {
        let refused = backend.put_new("once/a", bytes).await.unwrap_err();
        assert!(matches!(refused, StoreError::AlreadyExists { .. }), "{refused:?}");
        assert_eq!(backend.get("once/a").await.unwrap().unwrap(), b"first");
    }
}

async fn ranges_are_cut_at_the_end(backend: &dyn Backend) {
    put(backend, "range/ten", b"0123456789").await;
    put(backend, "range/empty", b"").await;
    for (range, expected) in
        [(0..10, "0123456789"), (2..5, "234"), (8..99, "89"), (9..10, "9"), (10..12, ""), (50..60, ""), (4..4, "")]
    {
        let bytes = backend.get_range("range/ten", range.clone()).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{range:?}");
    }
    assert_eq!(backend.get_range("range/empty", 0..5).await.unwrap().unwrap(), b"");
}

/// More bytes than any client hands on at once.
async fn parts_make_up_the_whole(backend: &dyn Backend) {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    put(backend, "parts/many", &bytes).await;
    put(backend, "parts/none", b"").await;
    for (key, whole) in [("parts/many", Some(bytes)), ("parts/none", Some(Vec::new())), ("parts/absent", None)] {
        let (parts, mut coming) = mpsc::channel(2);
        let taken = async {
            let mut taken: Option<Vec<u8>> = None;
            while let Some(part) = coming.recv().await {
                match part {
                    Part::Begin => taken = Some(Vec::new()),
                    Part::Bytes(bytes) => taken.as_mut().unwrap().extend_from_slice(&bytes),
                }
            }
            taken
        };
        let (found, taken) = tokio::join!(backend.get_parts(key, parts), taken);
        assert!(found.unwrap() == whole.is_some() && taken == whole, "{key}");
    }
    // Nobody takes them.
    let (parts, coming) = mpsc::channel(1);
    drop(coming);
    assert!(backend.get_parts("parts/many", parts).await.unwrap());
}

async fn sizes_are_kept(backend: &dyn Backend) {
    let large: Vec<u8> = (0..5_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for (key, bytes) in [("size/none", Vec::new()), ("size/one", vec![0]), ("size/large", large)] {
        put(backend, key, &bytes).await;
        assert!(backend.get(key).await.unwrap().unwrap() == bytes, "{key}");
    }
    let expected =
        [("size/large", 5 << 20), ("size/none", 0), ("size/one", 1)].map(|(key, bytes)| (key.to_owned(), bytes));
    assert_eq!(backend.sizes("size/").await.unwrap(), expected);
}

async fn prefixes_are_exact(backend: &dyn Backend) {
    let keys = ["p/a", "p/a-b", "p/ab/c", "pa/x", "q"];
    for key in keys {
        put(backend, &format!("prefix/{key}"), b"").await;
    }
    for (prefix, expected) in [
        ("p/", &["p/a", "p/a-b", "p/ab/c"][..]),
        ("p/a", &["p/a", "p/a-b", "p/ab/c"]),
        ("p/ab", &["p/ab/c"]),
        ("p", &["p/a", "p/a-b", "p/ab/c", "pa/x"]),
        ("q/", &[]),
        ("", &keys),
    ] {
        let expected: Vec<String> = expected.iter().map(|key| format!("prefix/{key}")).collect();
        assert_eq!(backend.list(&format!("prefix/{prefix}")).await.unwrap(), expected, "{prefix}");
    }
}

async fn odd_keys_come_back(backend: &dyn Backend) {
    let mut expected: Vec<String> = ODD.iter().map(|name| format!("odd/{name}/{name}")).collect();
    for key in &expected {
        put(backend, key, key.as_bytes()).await;
        assert_eq!(backend.get(key).await.unwrap().unwrap(), key.as_bytes(), "{key}");
        assert_eq!(backend.list(key).await.unwrap(), [key.as_str()]);
    }
    expected.sort();
    assert_eq!(backend.list("odd/").await.unwrap(), expected);
    for key in &expected {
        backend.delete(key).await.unwrap();
        assert_eq!(backend.get(key).await.unwrap(), None, "{key}");
    }
}

async fn keys_that_are_none_are_refused(backend: &dyn Backend) {
    for key in ["", "/", "/a", "a/", "a//b", "..", "../a", "a/./b", "a/../b", "a\0b"] {
        assert!(backend.put_new(key, vec![1]).await.is_err(), "{key:?}");
        assert!(backend.get(key).await.is_err(), "{key:?}");
        assert!(backend.get_range(key, 0..1).await.is_err(), "{key:?}");
        assert!(backend.delete(key).await.is_err(), "{key:?}");
    }
}

async fn long_listings_are_complete(backend: &dyn Backend) {
    let keys: Vec<String> = (0..MANY).map(|n| format!("many/{n:05}")).collect();
    let writes = futures::stream::iter(&keys).map(|key| backend.put_new(key, Vec::new())).buffer_unordered(16);
    writes.for_each(|written| async { written.unwrap() }).await;
    assert_eq!(backend.list("many/").await.unwrap(), keys);
}

async fn deleting_twice_is_no_error(backend: &dyn Backend) {
    put(backend, "gone/a", b"1").await;
    for _ in 0..2 {
        backend.delete("gone/a").await.unwrap();
        assert_eq!(backend.get("gone/a").await.unwrap(), None);
    }
    put(backend, "gone/a", b"2").await;
    assert_eq!(backend.get("gone/a").await.unwrap().unwrap(), b"2");
}
