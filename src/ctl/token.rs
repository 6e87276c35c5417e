//! `roomctl token`: tokens for rooms, minted here with a key that is at hand.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::{Error, Exit};
use crate::base::{clock, ids};
use crate::room::Grant;
use crate::room::token::Keys;
use crate::server::keys;

/// What is done with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenOrder {
    /// Mint a LiveKit token: for a room, or with --admin alone for the box's own pages and APIs
    #[command(
        after_help = "Examples:\n  roomctl token create --keys-file /var/lib/roomd/keys.toml --room lobby --identity anna\n  \
        roomctl token create --key API1 --secret-file secret --room lobby --listen-only --ttl 1h"
    )]
    Create {
        /// A keys file of roomd (its first key signs)
        #[arg(long, value_name = "FILE", required_unless_present = "key")]
        keys_file: Option<PathBuf>,
        /// A key's name
        #[arg(long, value_name = "NAME", requires = "secret_file", conflicts_with = "keys_file")]
        key: Option<String>,
        /// File with its secret; - is the standard input
        #[arg(long, value_name = "FILE", requires = "key")]
        secret_file: Option<PathBuf>,
        /// The room it is for
        #[arg(long, required_unless_present = "admin")]
        room: Option<String>,
        /// Who it is for; must be unique in the room [default: a random one]
        #[arg(long)]
        identity: Option<String>,
        /// The name that the others see
        #[arg(long, value_name = "TEXT", default_value = "")]
        name: String,
        /// How long it is good
        #[arg(long, value_name = "TIME", default_value = "6h", value_parser = super::time::duration)]
        ttl: Duration,
        /// May moderate the room; without --room: may change the box
        #[arg(long)]
        admin: bool,
        /// May see and hear, and send nothing
        #[arg(long)]
        listen_only: bool,
        /// The others do not see it
        #[arg(long)]
        hidden: bool,
    },
}

/// Mints.
pub(super) fn token(order: &TokenOrder, as_json: bool, out: &mut dyn Write) -> Result<Exit, Error> {
    let TokenOrder::Create {
        keys_file,
        key,
        secret_file,
        room,
        identity,
        name,
        ttl,
        admin,
        listen_only,
        hidden,
    } = order;
    let keys = match (keys_file, key, secret_file) {
        (Some(file), ..) => {
            keys::load(Some(file), Path::new("/")).map_err(|error| Error::Usage(error.to_string()))?.0
        }
        (None, Some(key), Some(file)) => {
            let keys = BTreeMap::from([(key.clone(), secret(file)?)]);
            Keys::new(keys).map_err(|error| Error::Usage(error.to_string()))?
        }
        _ => return Err(Error::Usage("a key is needed: --keys-file, or --key and --secret-file".to_owned())),
    };
    let identity = identity.clone().unwrap_or_else(|| format!("guest-{}", ids::random(6)));
    let grant = Grant {
        identity: identity.clone(),
        name: name.clone(),
        room: room.clone().unwrap_or_default(),
        room_join: room.is_some(),
        room_admin: *admin,
        room_create: *admin,
        room_list: *admin,
        can_publish: !listen_only,
        can_publish_data: !listen_only,
        can_subscribe: true,
        hidden: *hidden,
        ..Grant::default()
    };
    let token = keys.mint(&grant, *ttl, clock::wall());
    match as_json {
        true => writeln!(
            out,
            "{}",
            json!({"token": token, "identity": identity, "room": room, "ttl_s": ttl.as_secs()})
        )?,
        false => writeln!(out, "{token}")?,
    }
    Ok(Exit::Done)
}

fn secret(file: &Path) -> Result<String, Error> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| Error::Usage(format!("{}: {error}", file.display())))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
