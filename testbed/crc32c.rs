//! What reading every byte of a directory and its CRC-32C costs at least: one pass, one thread, windows of a mebibyte.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let mut window = vec![0; 1 << 20];
    let mut sum = 0;
    for directory in std::env::args().skip(1) {
        pass(Path::new(&directory), &mut window, &mut sum)?;
    }
    if sum == 1 {
        // Never: but the compiler does not know, and so the sum is made.
        std::process::exit(1);
    }
    Ok(())
}

fn pass(path: &Path, window: &mut [u8], sum: &mut u32) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            pass(&entry?.path(), window, sum)?;
        }
        return Ok(());
    }
    let mut file = File::open(path)?;
    loop {
        match file.read(window)? {
            0 => return Ok(()),
            read => *sum ^= crc32c::crc32c(&window[..read]),
        }
    }
}
