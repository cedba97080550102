//! Which store a snapshot was taken for.

/// Identity of a store. Two stores may have the same URL (directories of two machines, buckets of two servers), and a copy
/// of a store has the same id: only both together are one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// URL of the store.
    pub url: String,
    /// 32 hexadecimal digits that the store itself holds.
    pub id: String,
}
