//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Error;
use super::config::ConfigOrder;
use super::fleet::BoxOrder;
use super::job::{JobOrder, LogsArgs};
use super::provision::{EnrollOrder, ProvisionArgs};
use super::token::TokenOrder;

const EXAMPLES: &str = "\
Examples:
  roomctl state                                  this machine's box
  roomctl record on
  export ROOMCTL_BROKER=mqtts://broker ROOMCTL_CA_FILE=ca.crt ROOMCTL_CERT_FILE=me.crt ROOMCTL_KEY_FILE=me.key
  roomctl box watch                              all boxes of the fleet, live
  roomctl --box lobby join stage                 one of them
  roomctl --group floor2 mute                    many, with a summary
  roomctl --box lobby config set lobby.toml
  roomctl --box lobby job run reboot";

/// Order roomd boxes: join and leave rooms, record, go live, mute, and see what is going on.
///
/// Without --broker it talks to the roomd on this machine, over its control socket. With --broker and --box or --group (or
/// ROOMCTL_BROKER, ROOMCTL_FLEET, ROOMCTL_BOX) it orders any box of a fleet, or many at once, by MQTT 5.
///
/// Exit codes: 0 done, 1 refused by the box (its code is printed), 2 usage, 3 unreachable or timed out.
#[derive(Clone, Debug, Parser)]
#[command(name = "roomctl", version, after_help = EXAMPLES)]
pub struct Args {
    /// The output is a terminal: tables are drawn in place, with colours.
    #[arg(skip)]
    pub terminal: bool,
    /// Print one JSON document instead of text (what watches: one a line)
    #[arg(long, global = true)]
    pub json: bool,
    /// Who is ordered.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do
    #[command(subcommand)]
    pub order: Order,
}

/// Who is ordered, and how to get there.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which box, and how to reach it")]
pub struct Connection {
    /// Control socket of the roomd on this machine
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "ROOMCTL_SOCKET",
        default_value = "/run/roomd/control.sock"
    )]
    pub socket: PathBuf,
    /// MQTT 5 broker: mqtt://host[:port] or mqtts://host[:port]
    #[arg(long, global = true, value_name = "URL", env = "ROOMCTL_BROKER")]
    pub broker: Option<String>,
    /// The fleet that the box belongs to
    #[arg(long, global = true, value_name = "NAME", env = "ROOMCTL_FLEET", default_value = "default")]
    pub fleet: String,
    /// The box's id
    #[arg(long = "box", global = true, value_name = "ID", env = "ROOMCTL_BOX")]
    pub box_id: Option<String>,
    /// Every box of this group, instead of one; a table tells what became of it at each
    #[arg(long, global = true, value_name = "NAME")]
    pub group: Option<String>,
    /// With --group: each box does it at a moment of its own within so many seconds
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub spread: Option<u16>,
    /// Name to be known by at the broker: client id and part of the response topic (default: a random one)
    #[arg(long, global = true, value_name = "NAME", env = "ROOMCTL_CLIENT")]
    pub client: Option<String>,
    /// Who gives the order, if not the client (the broker must make that trustworthy)
    #[arg(long, global = true, value_name = "NAME", env = "ROOMCTL_ISSUER")]
    pub issuer: Option<String>,
    /// User name at the broker
    #[arg(long, global = true, value_name = "NAME", env = "ROOMCTL_USERNAME")]
    pub username: Option<String>,
    /// File whose first line is the password at the broker
    #[arg(long, global = true, value_name = "FILE", env = "ROOMCTL_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authority that signed the broker's certificate (default: the public web's)
    #[arg(long, global = true, value_name = "FILE", env = "ROOMCTL_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of a client certificate for the broker (this one and its key before the command)
    #[arg(long, value_name = "FILE", env = "ROOMCTL_CERT_FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", env = "ROOMCTL_KEY_FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// Seconds to wait for answers by MQTT
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 35, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub timeout: u16,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Order {
    /// See whether the box answers
    Ping,
    /// Join a room, leaving the one that the box is in
    Join {
        /// The room's name
        room: String,
        /// LiveKit server to join at (default: the configured one, else the box's own)
        #[arg(long)]
        url: Option<String>,
        /// File that holds a join token for that server (default: the box mints one)
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// Leave the room
    Leave,
    /// End the box's room: everybody is put out (rooms of the box's own server only)
    End,
    /// Start or stop recording the box's own camera and microphone
    Record {
        /// on or off
        on: Switch,
        /// Id for the recording (default: the box chooses one and prints it)
        #[arg(long)]
        id: Option<String>,
    },
    /// Push the box's own camera and microphone to RTMP servers, or stop that
    ///
    /// Without --output the configured destinations (live.destinations) are used. Each --output needs a stream key:
    /// give a --key-file for each, in the same order, or --key-stdin and the keys on the standard input, one a line.
    /// Keys are never taken from the command line, where others could see them.
    Live {
        /// on or off
        on: Switch,
        /// Where to: rtmp://HOST[:PORT]/APP or rtmps://…; up to 8 times
        #[arg(long = "output", value_name = "URL")]
        outputs: Vec<String>,
        /// File that holds the stream key of the --output at the same place
        #[arg(long = "key-file", value_name = "FILE", conflicts_with = "key_stdin")]
        key_files: Vec<PathBuf>,
        /// Read the stream keys from the standard input, one a line
        #[arg(long)]
        key_stdin: bool,
    },
    /// Silence the box's microphone
    Mute,
    /// Open the box's microphone (from afar only if the box allows it)
    Unmute,
    /// Show what the box is doing
    State {
        /// Show every change until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Show what the box is: versions, hardware, addresses, commands
    Info,
    /// Have the box give a sign: its page shows it, its speaker beeps
    Identify,
    /// Take a picture of the camera; prints where it can be fetched for 10 minutes
    Snapshot,
    /// Have the box end everything in order and start again
    Restart,
    /// Print a link that opens the box's page as administrator, once, within 10 minutes
    AdminLink,
    /// Print a link that lets a guest into a room
    GuestLink {
        /// The room's name
        room: String,
    },
    /// The fleet's boxes: list and watch them
    #[command(subcommand, name = "box")]
    Box(BoxOrder),
    /// What the fleet wants of a box's configuration, and what the box made of it
    #[command(subcommand)]
    Config(ConfigOrder),
    /// Long work that a box does on its own: reboot, log_upload
    #[command(subcommand)]
    Job(JobOrder),
    /// Show the log of this machine's box; with --broker and --box: have a box send its own somewhere
    Logs(LogsArgs),
    /// Mint tokens for rooms
    #[command(subcommand)]
    Token(TokenOrder),
    /// Enrol this box in its fleet, as roomd-provision.json says (done by roomd-provision.service at the first start)
    ///
    /// Exit codes of its own: 0 enrolled, 1 not yet (try again), 78 never (the file or its token is no good).
    Provision(ProvisionArgs),
    /// Run a small enrolment server for labs: its own authority, single-use tokens, mosquitto's configuration
    #[command(subcommand)]
    EnrollServer(EnrollOrder),
    /// Print completions for a shell, to be sourced by it
    #[command(
        after_help = "Example:\n  roomctl completions bash > /usr/share/bash-completion/completions/roomctl"
    )]
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder
        dir: PathBuf,
    },
    /// Give any command with its parameters as JSON
    Cmd {
        /// Its name, as in the MQTT contract (room.join, recording.set, …)
        name: String,
        /// Its parameters
        #[arg(value_name = "JSON", default_value = "{}")]
        params: String,
    },
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Start.
    On,
    /// Stop.
    Off,
}

impl Order {
    /// The command's name and parameters.
    pub(super) fn request(&self) -> Result<(String, Value), Error> {
        let (name, params) = match self {
            Order::Ping => ("ping", json!({})),
            Order::Join { room, url, token_file } => {
                let mut params = json!({"room": room});
                if let Some(url) = url {
                    params["url"] = json!(url);
                }
                if let Some(path) = token_file {
                    let token = std::fs::read_to_string(path);
                    let token = token.map_err(|error| {
                        Error::Usage(format!("cannot read the token file {}: {error}", path.display()))
                    })?;
                    params["token"] = json!(token.trim());
                }
                ("room.join", params)
            }
            Order::Leave => ("room.leave", json!({})),
            Order::Identify => ("identify", json!({})),
            Order::Snapshot => ("snapshot", json!({})),
            Order::Restart => ("restart", json!({})),
            Order::End => ("room.end", json!({})),
            Order::Record { on, id } => {
                let mut params = json!({"on": *on == Switch::On});
                if let Some(id) = id {
                    params["id"] = json!(id);
                }
                ("recording.set", params)
            }
            Order::Live { on: Switch::Off, outputs, .. } if !outputs.is_empty() => {
                return Err(Error::Usage("live off ends all: it takes no --output".to_owned()));
            }
            Order::Live { on, outputs, key_files, key_stdin } => {
                let mut params = json!({"on": *on == Switch::On});
                if !outputs.is_empty() {
                    let keys = keys(key_files, *key_stdin, outputs.len())?;
                    let output = |(url, key)| json!({"url": url, "streamKey": key});
                    params["outputs"] = outputs.iter().zip(keys).map(output).collect();
                }
                ("live.set", params)
            }
            Order::Mute => ("microphone.set", json!({"muted": true})),
            Order::Unmute => ("microphone.set", json!({"muted": false})),
            Order::State { .. } => ("state", Value::Null),
            Order::Info => ("info", Value::Null),
            Order::AdminLink => ("admin.link", Value::Null),
            Order::GuestLink { room } => ("guest.link", json!({"room": room})),
            // These are no orders to one box: they are done before anybody asks.
            Order::Box(_)
            | Order::Config(_)
            | Order::Job(_)
            | Order::Logs(_)
            | Order::Token(_)
            | Order::Provision(_)
            | Order::EnrollServer(_)
            | Order::Completions { .. }
            | Order::Man { .. } => ("", Value::Null),
            Order::Cmd { name, params } => {
                let params = serde_json::from_str(params)
                    .map_err(|error| Error::Usage(format!("the parameters are not JSON: {error}")))?;
                (name.as_str(), params)
            }
        };
        Ok((name.to_owned(), params))
    }
}

/// As many stream keys as there are outputs.
fn keys(files: &[PathBuf], from_stdin: bool, wanted: usize) -> Result<Vec<String>, Error> {
    let keys: Vec<String> = if from_stdin {
        let lines: Result<Vec<String>, _> = std::io::stdin().lines().take(wanted).collect();
        lines
            .map_err(|error| Error::Usage(format!("cannot read the keys from the standard input: {error}")))?
    } else {
        let read = |path: &PathBuf| {
            let key = std::fs::read_to_string(path);
            key.map_err(|error| Error::Usage(format!("cannot read the key file {}: {error}", path.display())))
        };
        files.iter().map(read).collect::<Result<_, _>>()?
    };
    if keys.len() != wanted {
        let message = format!(
            "{} stream key(s) for {wanted} --output(s): each needs a --key-file, or a line with --key-stdin",
            keys.len()
        );
        return Err(Error::Usage(message));
    }
    Ok(keys.into_iter().map(|key| key.trim().to_owned()).collect())
}
