//! Two backups at once: only one of them runs.

use serde_json::Value;

use super::program::Program;
use super::stack::Stack;
use super::stalling_proxy::StallingProxy;

#[test]
fn node_second_backup_is_refused_by_name_or_waits_for_the_first() {
    let _stack = Stack::healthy();
    let program = Program::with_s3("two-at-once");
    let proxy = StallingProxy::before_put_of("manifests.tar.gz");
    let first = program.through(proxy.endpoint.clone()).start(&["backup"]);
    proxy.wait();
    let refused = program.run(&["backup"]).with_code(4).error();
    let words = refused["error"].as_str().unwrap();
    assert!(
        words.contains("another run holds Lease promsafe-tests/promsafe: ") && words.contains(" backup 20"),
        "{words}"
    );
    assert!(refused["hint"].as_str().unwrap().contains("--lock-timeout 10m"), "{refused}");
    program.run(&["restore", "latest"]).with_code(5);

    let mut waiting = program.start(&["backup", "--lock-timeout", "60s"]);
    waiting.until_waiting_on("Lease promsafe-tests/promsafe");
    first.signal("TERM");
    first.ended().with_code(130);
    let second = waiting.ended().with_code(0).result();
    assert_eq!(second["housekeeping"]["took_over"], Value::Null, "{second}");
    assert_eq!(second["housekeeping"]["swept"], Value::Array(vec![]), "{second}");
    let listing = program.run(&["list"]).with_code(0).result();
    assert_eq!(listing["backups"].as_array().unwrap().len(), 1, "{listing}");
}
