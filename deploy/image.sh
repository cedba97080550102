#!/usr/bin/env bash
# The container image without any container tool: a static binary and the certificate authorities of this machine, in an
# archive that `ctr -n k8s.io images import`, `docker load`, `podman load` and `skopeo copy docker-archive:…` read.
# The same binary and authorities give the same bytes: no times, owners or orders get in.
#
#   deploy/image.sh [OUT]      OUT is target/promsafe-image.tar unless said otherwise
#
# NAME, TARGET and CA_BUNDLE in the environment say another name of the image, another target of rustc, other authorities.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
NAME=${NAME:-docker.io/library/promsafe:$VERSION}
OUT=${1:-target/promsafe-image.tar}
MUSL=$(uname -m)-unknown-linux-musl
GNU=$(uname -m)-unknown-linux-gnu
CA_BUNDLE=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf 'image: %s\n' "$*" >&2; }

# musl where rustc has it or rustup can get it; else glibc, which since 2.34 resolves names in a static binary too.
target() {
  local installed
  installed=$(rustc --print sysroot)/lib/rustlib/$MUSL
  if [[ -n ${TARGET:-} ]]; then echo "$TARGET"
  elif [[ -d $installed ]] || rustup target add "$MUSL" >&2 2>&1; then echo "$MUSL"
  else echo "$GNU"; fi
}

# build TARGET: the static binary; prints its path.
build() {
  local flags=()
  if [[ $1 == "$GNU" ]]; then
    flags=(--config "target.$1.rustflags=['-C', 'target-feature=+crt-static']")
  else
    # The little C in the cryptography needs no libc: any compiler of this machine's architecture makes it.
    export "CC_${1//-/_}=${CC:-cc}"
  fi
  cargo build --release --target "$1" "${flags[@]}" >&2
  echo "${CARGO_TARGET_DIR:-target}/$1/release/promsafe"
}

# pack DIRECTORY NAME...: a tar of these files with nothing of this machine in it.
pack() {
  tar --create --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --directory "$1" "${@:2}"
}

digest() { sha256sum "$1" | cut -d' ' -f1; }

main() {
  local triple binary layer config
  triple=$(target)
  say "building for $triple"
  binary=$(build "$triple")
  if ldd "$binary" 2>&1 | grep -q '=>'; then
    say "$binary is not static"
    exit 1
  fi
  [[ -s $CA_BUNDLE ]] || { say "no certificate authorities at $CA_BUNDLE: install ca-certificates or set CA_BUNDLE"; exit 1; }

  mkdir -p "$work/root/etc/ssl/certs" "$work/image"
  install -m 755 "$binary" "$work/root/promsafe"
  install -m 644 "$CA_BUNDLE" "$work/root/etc/ssl/certs/ca-certificates.crt"
  find "$work/root" -type d -exec chmod 755 {} +
  pack "$work/root" etc promsafe > "$work/layer.tar"
  layer=$(digest "$work/layer.tar")
  # containerd locks a layer's name while it imports it, so the name is one's own.
  mv "$work/layer.tar" "$work/image/$layer.tar"

  cat > "$work/config.json" <<JSON
{"architecture":"$(architecture)","os":"linux","config":{"User":"65532:65532","Entrypoint":["/promsafe"],"Env":["PATH=/"],"WorkingDir":"/","Labels":{"org.opencontainers.image.title":"promsafe","org.opencontainers.image.version":"$VERSION"}},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created_by":"deploy/image.sh"}]}
JSON
  config=$(digest "$work/config.json").json
  mv "$work/config.json" "$work/image/$config"
  printf '[{"Config":"%s","RepoTags":["%s"],"Layers":["%s"]}]\n' "$config" "$NAME" "$layer.tar" > "$work/image/manifest.json"
  chmod 644 "$work/image"/*
  mkdir -p "$(dirname "$OUT")"
  pack "$work/image" "$config" "$layer.tar" manifest.json > "$OUT.part"
  mv "$OUT.part" "$OUT"
  say "$NAME"
  say "$OUT, $(stat -c %s "$OUT") bytes, sha256 $(digest "$OUT")"
}

# The machine's architecture as images spell it.
architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}

main "$@"
