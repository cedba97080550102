//! The one integration-test binary: linking is what costs time here.
#![expect(clippy::unwrap_used, reason = "tests")]

#[test]
fn placeholder_is_replaced_by_the_first_module() {
    let version = Some(env!("CARGO_PKG_VERSION"));
    assert!(version.unwrap().contains('.'));
}
