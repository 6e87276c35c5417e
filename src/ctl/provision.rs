//! `roomctl provision` and `roomctl enroll-server`: how a box comes into its fleet.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::{Error, Exit};
use crate::base::Shutdown;
use crate::config::{self, Environment};
use crate::provision::server::{EnrollServer, ServerError, Settings, TokenWish};
use crate::provision::{self, Enrolled, Place};

/// Longest time that a token may be good: 30 days.
const LONGEST_TOKEN: Duration = Duration::from_secs(30 * 86_400);

/// What `roomctl provision` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct ProvisionArgs {
    /// The provisioning file [default: roomd-provision.json in /boot/firmware, /boot, /etc/roomd, /run/roomd; the first
    /// that is good]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The daemon's configuration, which tells the state directory and perhaps the box's id
    #[arg(long, value_name = "FILE", env = "ROOMD_CONFIG")]
    config: Option<PathBuf>,
}

/// What `roomctl enroll-server` does.
#[derive(Clone, Debug, Subcommand)]
pub enum EnrollOrder {
    /// Make the server's folder for one --fleet: authority, certificates, mosquitto's configuration and access rules, an
    /// operator's certificate
    Init {
        /// The folder; it must not hold a server yet
        dir: PathBuf,
        /// What boxes call this machine [default: its own name]
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// The address to listen at, for the server and the broker (0.0.0.0: everywhere)
        #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
        bind: IpAddr,
        /// The enrolment server's port
        #[arg(long, default_value_t = 8443, value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// The broker's port
        #[arg(long, default_value_t = 8883, value_parser = clap::value_parser!(u16).range(1..))]
        broker_port: u16,
    },
    /// Serve until interrupted
    Run {
        /// The folder
        dir: PathBuf,
    },
    /// Mint a single-use token and print the roomd-provision.json that holds it
    Token {
        /// The folder
        dir: PathBuf,
        /// The only box that may use it; it may have been enrolled before and gets a new key
        #[arg(long = "for", value_name = "BOX")]
        for_box: Option<String>,
        /// What people shall call the box
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// How long it is good, up to 30d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::time::duration)]
        valid: Duration,
    },
}

/// Enrols this box. Exit codes of its own: 1 try again, 78 never.
pub(super) async fn provision(
    args: &ProvisionArgs,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let environment = Environment::of_process();
    // A configuration with a problem is the daemon's to complain about; the enrolment may be what mends it.
    let settings = config::load(args.config.as_deref(), &environment, None).ok();
    let configured = environment.0.get("ROOMD_BOX__STATE_DIR").map(PathBuf::from);
    let (state_dir, box_id) = match settings {
        Some(settings) => (settings.device.state_dir, settings.device.id),
        None => (configured.unwrap_or_else(|| config::STATE_DIR.into()), None),
    };
    let mut exit = Exit::Never;
    match provision::find(args.file.as_deref()) {
        Err(error) => exit = told(Err(error), as_json, out)?,
        Ok(files) => {
            // One that is no good for ever must not keep the next from its turn.
            for file in files {
                let place = Place { file, state_dir: state_dir.clone(), box_id: box_id.clone() };
                exit = told(provision::attempt(&place).await, as_json, out)?;
                if exit != Exit::Never {
                    break;
                }
            }
        }
    }
    Ok(exit)
}

/// Tells what came of one file.
fn told(
    enrolled: Result<Enrolled, provision::Error>,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let (exit, document, text) = match enrolled {
        Ok(Enrolled::Before) => (
            Exit::Done,
            json!({"ok": true, "enrolled": "before"}),
            "enrolled before; the file with the token is removed".to_owned(),
        ),
        Ok(Enrolled::Now { box_id, fleet, broker, by_floor }) => {
            let clock = if by_floor {
                " (the clock is wrong: certificates were judged by the date of roomctl or of the file)"
            } else {
                ""
            };
            let text = format!("box {box_id} is enrolled in fleet {fleet}, its broker is {broker}{clock}");
            (
                Exit::Done,
                json!({"ok": true, "enrolled": "now", "box": box_id, "fleet": fleet, "broker": broker}),
                text,
            )
        }
        Err(error) => {
            let (exit, what) =
                if error.is_final() { (Exit::Never, "never") } else { (Exit::Refused, "later") };
            let text = error.to_string();
            (
                exit,
                json!({"ok": false, "retry": what == "later", "message": text}),
                format!("not enrolled: {text}"),
            )
        }
    };
    if as_json {
        writeln!(out, "{document}")?
    } else {
        writeln!(out, "{text}")?
    }
    Ok(exit)
}

/// Does `order` at an enrolment server's folder.
pub(super) async fn enroll_server(
    order: &EnrollOrder,
    args: &super::Args,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let as_json = args.json;
    match order {
        EnrollOrder::Init { dir, host, bind, port, broker_port } => {
            let settings = Settings {
                fleet: args.connection.fleet.clone(),
                host: host
                    .clone()
                    .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned()),
                bind: *bind,
                port: *port,
                broker_port: *broker_port,
            };
            let server = EnrollServer::init(dir, settings)?;
            let (enroll, broker) = (server.settings.enroll_url(), server.settings.broker_url());
            match as_json {
                true => writeln!(out, "{}", json!({"ok": true, "enroll_url": enroll, "broker_url": broker}))?,
                false => made(dir, &enroll, &broker, out)?,
            }
        }
        EnrollOrder::Run { dir } => serve(dir, as_json, out).await?,
        EnrollOrder::Token { dir, for_box, name, valid } => {
            let wish =
                TokenWish { box_id: for_box.clone(), name: name.clone(), valid: (*valid).min(LONGEST_TOKEN) };
            let (file, _) = EnrollServer::open(dir)?.mint(&wish)?;
            // The same either way: it is what goes into the file.
            if as_json { writeln!(out, "{file}")? } else { writeln!(out, "{file:#}")? }
        }
    }
    Ok(Exit::Done)
}

fn made(dir: &Path, enroll: &str, broker: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let dir = dir.display();
    writeln!(
        out,
        "made {dir}: enrolment at {enroll}, broker at {broker}\n\n  \
         mosquitto -c {dir}/mosquitto.conf\n  \
         roomctl enroll-server run {dir}\n  \
         roomctl enroll-server token {dir} > roomd-provision.json   # onto a box's boot partition, or into /etc/roomd\n  \
         roomctl --broker {broker} --ca-file {dir}/ca.crt --cert-file {dir}/operator.crt --key-file {dir}/operator.key box list"
    )
}

async fn serve(dir: &Path, as_json: bool, out: &mut dyn Write) -> Result<(), Error> {
    let server = EnrollServer::open(dir)?;
    let url = server.settings.enroll_url();
    let listening = server.listen().await?;
    match as_json {
        true => writeln!(out, "{}", json!({"ok": true, "enroll_url": url}))?,
        false => writeln!(out, "enrolling at {url}; Ctrl-C ends it")?,
    }
    out.flush()?;
    let shutdown = Shutdown::new();
    tokio::select! {
        () = listening.run(shutdown.clone()) => {}
        _ = tokio::signal::ctrl_c() => shutdown.cancel(),
    }
    Ok(())
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Error {
        Error::Usage(error.to_string())
    }
}
