//! `roomctl`: see `roomd::ctl`.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use roomd::ctl::{self, Args, Exit};

fn main() -> ExitCode {
    let mut args = Args::parse();
    args.terminal = std::io::stdout().is_terminal();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::from(Exit::Unreachable as u8),
    };
    let exit = runtime.block_on(ctl::run(&args, &mut std::io::stdout(), &mut std::io::stderr()));
    ExitCode::from(exit as u8)
}
