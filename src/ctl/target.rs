//! The box that is ordered, by whichever way it is reached.

use std::time::Duration;

use serde_json::Value;

use super::{Connection, Error};
use crate::base::ids;
use crate::control::Reply;
use crate::control::topics::Topics;
use crate::{local, mqtt};

/// A connection to the fleet's broker.
pub(super) async fn asker(args: &Connection) -> Result<mqtt::Asker, Error> {
    let url = args.broker.as_ref();
    connect(args, url.ok_or_else(|| Error::Usage("this needs --broker, or ROOMCTL_BROKER".to_owned()))?).await
}

async fn connect(args: &Connection, url: &str) -> Result<mqtt::Asker, Error> {
    let client = args.client.clone().unwrap_or_else(|| format!("roomctl-{}", ids::random(8)));
    let access = mqtt::Access {
        endpoint: mqtt::Endpoint::parse(url)?,
        client_id: client.clone(),
        username: args.username.clone(),
        password_file: args.password_file.clone(),
        jwt_file: None,
        ca_file: args.ca_file.clone(),
        cert_file: args.cert_file.clone(),
        key_file: args.key_file.clone(),
    };
    Ok(mqtt::Asker::connect(&access, &args.fleet, &client, args.issuer.clone()).await?)
}

/// A way to a box.
pub(super) enum Target {
    /// The roomd on this machine.
    Local(local::Client),
    /// Any box of a fleet.
    Mqtt(Box<mqtt::Requester>, Duration),
}

impl Target {
    /// Connects as `args` say.
    pub(super) async fn open(args: &Connection) -> Result<Target, Error> {
        let Some(url) = &args.broker else {
            if args.box_id.is_some() {
                return Err(Error::Usage("--box needs --broker".to_owned()));
            }
            return Ok(Target::Local(local::Client::connect(&args.socket).await?));
        };
        let box_id = args.box_id.as_deref().ok_or_else(|| Error::Usage("--broker needs --box".to_owned()))?;
        let topics = Topics::new(&args.fleet, box_id).map_err(mqtt::Error::from)?;
        let requester = mqtt::Requester::new(connect(args, url).await?, topics);
        Ok(Target::Mqtt(Box::new(requester), Duration::from_secs(u64::from(args.timeout))))
    }

    /// Gives an order and waits for the reply.
    pub(super) async fn request(&mut self, name: &str, params: &Value) -> Result<Reply, Error> {
        match self {
            Target::Local(client) => Ok(client.request(name, params).await?),
            Target::Mqtt(..) if matches!(name, "admin.link" | "guest.link") => {
                Err(Error::Usage("links are given out on the box itself only".to_owned()))
            }
            Target::Mqtt(requester, timeout) => Ok(requester.request(name, params, *timeout).await?),
        }
    }

    /// The document `name` (`state` or `info`) as it is now; with `watch`, [`Target::next_document`] goes on.
    pub(super) async fn document(&mut self, name: &str, watch: bool) -> Result<Value, Error> {
        match self {
            Target::Mqtt(requester, _) => Ok(requester.document(name).await?),
            Target::Local(client) if watch => {
                client.send("state.watch", &Value::Null).await?;
                Ok(client.next().await?.data)
            }
            Target::Local(client) => Ok(client.request(name, &Value::Null).await?.data),
        }
    }

    /// The next version of it, however long it takes.
    pub(super) async fn next_document(&mut self, name: &str) -> Result<Value, Error> {
        match self {
            Target::Mqtt(requester, _) => Ok(requester.next_document(name).await?),
            Target::Local(client) => Ok(client.next().await?.data),
        }
    }

    /// Takes leave.
    pub(super) async fn close(self) {
        if let Target::Mqtt(requester, _) = self {
            requester.close().await;
        }
    }
}
