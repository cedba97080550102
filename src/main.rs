//! parse, run, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use promsafe::cli;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => ExitCode::from(runtime.block_on(cli::run(args)) as u8),
        Err(_) => ExitCode::from(cli::Exit::Failed as u8),
    }
}
