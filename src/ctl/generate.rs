//! Completions for shells, and manual pages, both made from the command line's own description.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Args, Error, Exit};

/// Prints the completions for `shell`.
pub(super) fn completions(shell: Shell, out: &mut dyn Write) -> Exit {
    // It panics when it cannot write; into memory it can.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "roomctl", &mut script);
    // Whoever reads may stop early.
    let _ = out.write_all(&script);
    Exit::Done
}

/// Writes `roomctl.1` and a page for each command into `dir`.
pub(super) fn manual(dir: &Path) -> Result<Exit, Error> {
    let failed = |error: std::io::Error| Error::Usage(format!("{}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), dir).map_err(failed)?;
    Ok(Exit::Done)
}
