//! `roomd`: the life of the process on one screen. Everything else is in the library.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use roomd::config::{Environment, Settings, load};
use roomd::control::config_document::DesiredConfig;
use roomd::daemon;
use roomd::server::api;

/// Bad configuration (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

#[derive(Parser)]
#[command(version, about = "Turns a Linux box with a camera and a microphone into a managed meeting room")]
struct Arguments {
    /// The configuration file [default: /etc/roomd/roomd.toml where it exists]
    #[arg(long, global = true, value_name = "FILE", env = "ROOMD_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Run the daemon until SIGTERM or SIGINT (the default)
    Run,
    /// Check the configuration and print every problem: exit 0 or 78
    Check,
    /// Print the REST interface's description (OpenAPI)
    Openapi,
    /// Print the MQTT interface's description (AsyncAPI)
    Asyncapi,
    /// Print the cameras with what they offer and the encoders that were found
    Devices {
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let document = match arguments.action {
        Some(Action::Openapi) => Some(api::document()),
        Some(Action::Asyncapi) => Some(daemon::asyncapi::document()),
        _ => None,
    };
    if let Some(document) = document {
        // Whoever reads may stop early (`| head`).
        let _ = writeln!(std::io::stdout(), "{document:#}");
        return ExitCode::SUCCESS;
    }
    let settings = match settings(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match arguments.action.unwrap_or(Action::Run) {
        Action::Check => {
            for key in &settings.without_effect {
                println!("note: {key} is valid and has no effect in this version");
            }
            println!("the configuration is good");
            ExitCode::SUCCESS
        }
        // Done above: it needs no configuration.
        Action::Openapi | Action::Asyncapi => ExitCode::SUCCESS,
        Action::Devices { json } => {
            let devices = daemon::Devices::find(settings.camera.size, settings.camera.fps);
            let text = if json { devices.json() + "\n" } else { devices.text() };
            // Whoever reads may stop early (`| head`).
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Action::Run => run(settings, arguments.config),
    }
}

/// The configuration, or every problem on stderr and the exit code.
fn settings(file: Option<&Path>) -> Result<Settings, ExitCode> {
    load(file, &Environment::of_process(), None).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(EXIT_CONFIG)
    })
}

fn run(settings: Settings, file: Option<PathBuf>) -> ExitCode {
    let read =
        move |desired: Option<&DesiredConfig>| load(file.as_deref(), &Environment::of_process(), desired);
    match daemon::run(settings, Box::new(read)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roomd: {}", daemon::with_sources(&error));
            ExitCode::FAILURE
        }
    }
}
