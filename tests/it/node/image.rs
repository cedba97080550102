//! The product's own image, given to the node as a registry would.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::cluster::output;

/// Its name.
pub(super) const IMAGE: &str = concat!("docker.io/library/promsafe:", env!("CARGO_PKG_VERSION"));

/// Makes the image and gives it to containerd; `tests/run` has built the binary in it already. `PROMSAFE_IMAGE_ARCHIVE`
/// names one that is made already.
pub(super) fn import() {
    let archive = std::env::var_os("PROMSAFE_IMAGE_ARCHIVE").map_or_else(made, PathBuf::from);
    let import = ["--namespace=k8s.io", "images", "import"];
    output(Command::new("ctr").args(import).arg(&archive), "").unwrap_or_else(|error| panic!("{error}"));
}

fn made() -> PathBuf {
    let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("promsafe-image.tar");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/image.sh");
    output(Command::new(script).arg(&archive).env("NAME", IMAGE), "").unwrap_or_else(|error| panic!("{error}"));
    archive
}
