//! Single flipped bits over a whole store: each is found by hashing, and its file named. `testbed/flips` makes many.
#![expect(clippy::print_stdout, reason = "the counts are what is asked for")]

use std::collections::BTreeMap;
use std::path::Path;

use promsafe::integrity::{Level, VerifyRequest, verify};
use promsafe::marks::Mark;
use promsafe::model::{Sha256, Silent};
use promsafe::store::Store;

use super::backups::{files, id, put_backup, store_in};

/// How many are made when nobody says so.
const FLIPS: usize = 600;

/// A number that follows another one and looks like chance (splitmix64): the same flips in every run.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn below(state: &mut u64, limit: usize) -> usize {
    usize::try_from(next(state) % limit as u64).unwrap()
}

/// What an object of a store is.
fn kind(key: &str, trees: &[String]) -> &'static str {
    match key {
        "store.json" => "identity",
        key if key.ends_with("/backup.json") => "record",
        key if key.starts_with("backups/") => "bundle",
        key if key.starts_with("marks/") => "mark",
        key if trees.iter().any(|tree| key.ends_with(tree)) => "tree",
        _ => "piece",
    }
}

async fn whole_store(root: &Path) -> (Store, Vec<String>) {
    let store = store_in(root).await;
    store.mark().await.unwrap();
    let mut trees = Vec::new();
    for (n, text) in ["first", "second"].into_iter().enumerate() {
        let record = put_backup(&store, &id(n), &files(text)).await;
        trees.push(record.volumes[0].copy.as_ref().unwrap().tree.to_string());
    }
    let mark = Mark { data: vec![Sha256::of(b"gone"), Sha256::of(b"gone too")], backups: vec![id(7)] };
    store.write_mark("2026-11-21T09:00:00Z".parse().unwrap(), mark.to_lines().unwrap()).await.unwrap();
    (store, trees)
}

#[tokio::test]
async fn every_flipped_bit_in_a_store_is_found_and_its_file_named() {
    let wanted = std::env::var("PROMSAFE_FLIPS").ok().map_or(FLIPS, |text| text.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let (store, trees) = whole_store(root.path()).await;
    let keys = store.backend().list("").await.unwrap();
    let request = VerifyRequest { backups: vec![id(0), id(1)], level: Level::Hash, percent: 100, seed: 0, now_ms: 0 };
    let sound = verify(&store, &request, &Silent).await.unwrap();
    assert!(sound.all_flaws().next().is_none(), "{sound:#?}");

    let mut state = 20_261_121;
    let (mut found, mut by_kind) = (0, BTreeMap::<_, usize>::new());
    for _ in 0..wanted {
        let kinds = ["identity", "record", "bundle", "tree", "piece", "mark"];
        let chosen = kinds[below(&mut state, kinds.len())];
        let of_kind: Vec<_> = keys.iter().filter(|key| kind(key, &trees) == chosen).collect();
        let key = of_kind[below(&mut state, of_kind.len())];
        let path = root.path().join(key);
        let written = std::fs::read(&path).unwrap();
        let bit = below(&mut state, written.len() * 8);
        let mut flipped = written.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, flipped).unwrap();
        let seen = verify(&store, &request, &Silent).await.unwrap();
        std::fs::write(&path, written).unwrap();
        let named: Vec<_> = seen.all_flaws().map(|flaw| &flaw.object).collect();
        if !named.is_empty() && named.iter().all(|object| object.ends_with(key.as_str())) {
            found += 1;
        } else {
            println!("missed: bit {bit} of {key}: {named:?}");
        }
        *by_kind.entry(chosen).or_default() += 1;
    }
    println!("flips by kind: {by_kind:?}");
    println!("flips: {wanted} made, {found} found, {} missed", wanted - found);
    assert_eq!(found, wanted);
    assert_eq!(verify(&store, &request, &Silent).await.unwrap(), sound, "the store is sound again");
}
