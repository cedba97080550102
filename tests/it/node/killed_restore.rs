//! A restore that is killed in the middle is finished by the same command, here with a directory as the store.

use super::program::Program;
use super::stack::{Stack, left_by_restores};
use super::witness::{Witness, history_is_whole};

#[test]
fn node_killed_restore_is_finished_by_running_it_again() {
    let stack = Stack::healthy();
    let before = Witness::once_settled();
    let directory = tempfile::tempdir().unwrap();
    let program = Program::with_directory(directory.path());
    let record = program.backup();
    let id = record["id"].as_str().unwrap();

    stack.destroy();
    for step in ["definitions: creating", "snapshots: creating", "claims: creating", "instances: creating"] {
        // With the lock each would have to wait until the one before is known to be dead.
        let mut restore = program.start(&["restore", id, "--include-cluster-scoped", "--no-lock"]);
        restore.until_step(step);
        restore.signal("KILL");
        assert_eq!(restore.ended().code, None, "killed at {step:?} it has no exit code");
    }
    let restored = program.restore(id);
    assert_eq!(restored["problems"].as_array().unwrap().len(), 0, "{restored}");
    history_is_whole();
    before.is_here_again();
    assert_eq!(left_by_restores(), [""; 0], "killed restores left something");
}
