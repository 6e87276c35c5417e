//! What mosquitto needs to be the fleet's broker: who somebody is, is what its certificate says.

use std::path::Path;

use super::{OPERATOR, Settings};

/// `mosquitto.conf`.
pub(super) fn configuration(settings: &Settings, dir: &Path) -> String {
    let bind = match settings.bind {
        any if any.is_unspecified() => String::new(),
        one => format!(" {one}"),
    };
    let dir = dir.display();
    // Started by root it would become a user that cannot read the keys of this folder.
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    format!(
        "# By `roomctl enroll-server`.\n\
         listener {port}{bind}\n\
         cafile {dir}/ca.crt\n\
         certfile {dir}/server.crt\n\
         keyfile {dir}/server.key\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         allow_anonymous false\n\
         acl_file {dir}/mosquitto.acl\n\
         set_tcp_nodelay true\n\
         persistence true\n\
         persistence_location {dir}/\n\
         user {user}\n",
        port = settings.broker_port,
    )
}

/// `mosquitto.acl`.
pub(super) fn acl(settings: &Settings) -> String {
    let root = format!("roomd/v1/{}", settings.fleet);
    format!(
        "# By `roomctl enroll-server`. %u is the common name of a box's certificate: its id.\n\
         pattern readwrite {root}/d/%u/#\n\
         pattern read {root}/g/+/cmd/+\n\
         pattern write {root}/c/+/#\n\
         \n\
         user {OPERATOR}\n\
         topic readwrite {root}/#\n"
    )
}
