//! More blocks of the same shape with other samples, quicker than promtool makes them: each chunk's first value gets other
//! low bits, which shifts all that follow it, and a checksum that is right. The blocks are told apart by their ULIDs; they
//! cover the same time, as the blocks of a receiver with several tenants do.
//!
//!   more_blocks FROM TO VARIANT BLOCKS      the first so many blocks of FROM go to TO; VARIANT is 1 to 1023

use std::fs;
use std::io;
use std::path::Path;

/// Bytes of a segment before its first chunk, and of a checksum (prometheus `tsdb/docs/format/chunks.md`).
const HEADER: usize = 8;
const CHECKSUM: usize = 4;
/// The encoding of chunks of floats.
const XOR: u8 = 1;
const DIGITS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, variant, blocks] = &arguments[..] else {
        return Err(io::Error::other("more_blocks FROM TO VARIANT BLOCKS"));
    };
    let (variant, blocks): (usize, usize) =
        (variant.parse().map_err(io::Error::other)?, blocks.parse().map_err(io::Error::other)?);
    let names: io::Result<Vec<_>> = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect();
    let mut names: Vec<String> = names?.into_iter().filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    if !(1..1024).contains(&variant) {
        return Err(io::Error::other("VARIANT is 1 to 1023"));
    }
    for old in names.iter().take(blocks) {
        let new = ulid(old, variant);
        block(&Path::new(from).join(old), &Path::new(to).join(&new), (old, &new), variant as u64)?;
    }
    Ok(())
}

/// Another ULID of the same time: never the old one, whose files may be links to those that are read here.
fn ulid(old: &str, variant: usize) -> String {
    let (kept, last) = old.split_at(old.len() - 2);
    let number =
        last.bytes().fold(0, |number, digit| number * 32 + DIGITS.iter().position(|one| *one == digit).unwrap_or(0));
    let number = (number + variant) % 1024;
    let digits = [DIGITS[number / 32], DIGITS[number % 32]].map(char::from);
    format!("{kept}{}{}", digits[0], digits[1])
}

fn block(from: &Path, to: &Path, (old, new): (&str, &str), variant: u64) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::create_dir(to.join("chunks"))?;
    for file in ["index", "tombstones"] {
        fs::copy(from.join(file), to.join(file))?;
    }
    fs::write(to.join("meta.json"), fs::read_to_string(from.join("meta.json"))?.replace(old, new))?;
    for entry in fs::read_dir(from.join("chunks"))? {
        let entry = entry?;
        let mut bytes = fs::read(entry.path())?;
        segment(&mut bytes, variant).ok_or_else(|| io::Error::other(format!("{} is cut", entry.path().display())))?;
        fs::write(to.join("chunks").join(entry.file_name()), bytes)?;
    }
    Ok(())
}

fn segment(bytes: &mut [u8], variant: u64) -> Option<()> {
    let mut at = HEADER;
    while at < bytes.len() {
        let (length, head) = varint(&bytes[at..])?;
        let content = at + head..at + head + 1 + length;
        let end = content.end;
        let chunk = bytes.get_mut(content)?;
        if chunk[0] == XOR {
            // Encoding, count and the first time come before the first value.
            let value = 3 + varint(&chunk[3..])?.1;
            let bits = scattered(variant << 40 ^ at as u64).to_be_bytes();
            for (byte, bits) in chunk[value + 4..value + 8].iter_mut().zip(bits) {
                *byte ^= bits;
            }
        }
        let checksum = crc32c::crc32c(chunk).to_be_bytes();
        bytes.get_mut(end..end + CHECKSUM)?.copy_from_slice(&checksum);
        at = end + CHECKSUM;
    }
    Some(())
}

fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let value = bytes[..length].iter().rev().fold(0_usize, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, length))
}

/// Bits that follow no pattern (the finalizer of MurmurHash3).
fn scattered(mut bits: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        bits = (bits ^ bits >> 33).wrapping_mul(factor);
    }
    bits ^ bits >> 33
}
