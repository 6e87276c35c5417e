//! The topics of the contract (section 5): built and read in one place.

/// A name that cannot be part of a topic, or a topic that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Not usable as one level of a topic.
    #[error("{what} {name:?}: must be 1 to 64 of A-Z a-z 0-9 _ - .")]
    Name {
        /// `fleet`, `box`, `group` or `client`.
        what: &'static str,
        /// The name given, cut to 64 characters.
        name: String,
    },
    /// A Response Topic outside the askers' part of the tree.
    #[error("response topic must begin with {prefix}{{client}}/ and hold no wildcards")]
    Response {
        /// `roomd/v1/{fleet}/c/`.
        prefix: String,
    },
}

/// Longest Response Topic, in bytes.
const MAX_RESPONSE_TOPIC_BYTES: usize = 256;

/// One level of a topic: 1 to 64 of `A-Z a-z 0-9 _ - .`
///
/// # Errors
/// [`TopicError::Name`].
pub fn check_name(what: &'static str, name: &str) -> Result<(), TopicError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(TopicError::Name { what, name: name.chars().take(64).collect() })
}

/// The topics of one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    fleet: String,
    root: String,
}

/// Whom a command was sent to, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressed<'a> {
    /// The command's name, unchecked.
    pub name: &'a str,
    /// The group it was sent to; None: to this box.
    pub group: Option<&'a str>,
}

/// A message to the box that is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// `config/desired`.
    ConfigDesired,
    /// `job/{id}`, with its id.
    Job(&'a str),
    /// `set/{name}`, with the name of what is set.
    Set(&'a str),
}

/// Where Home Assistant says that it is online (its default).
pub const HOME_ASSISTANT_STATUS: &str = "homeassistant/status";

impl Topics {
    /// The topics of box `id` in `fleet`.
    ///
    /// # Errors
    /// [`TopicError::Name`] for either name.
    pub fn new(fleet: &str, id: &str) -> Result<Self, TopicError> {
        check_name("fleet", fleet)?;
        check_name("box", id)?;
        Ok(Topics { fleet: fleet.to_owned(), root: format!("roomd/v1/{fleet}/d/{id}/") })
    }

    /// A topic of the box itself: `status`, `info`, `state`, `tele/health`, …
    pub fn of_box(&self, leaf: &str) -> String {
        format!("{}{leaf}", self.root)
    }

    /// The topic that command `name` is sent to.
    pub fn command(&self, name: &str) -> String {
        format!("{}cmd/{name}", self.root)
    }

    /// What to subscribe to for commands to this box.
    pub fn commands(&self) -> String {
        self.command("+")
    }

    /// What to subscribe to for commands to `group`.
    ///
    /// # Errors
    /// [`TopicError::Name`].
    pub fn group_commands(&self, group: &str) -> Result<String, TopicError> {
        check_name("group", group)?;
        Ok(format!("roomd/v1/{}/g/{group}/cmd/+", self.fleet))
    }

    /// Which command a topic means; None: it is no command's.
    pub fn addressed<'a>(&self, topic: &'a str) -> Option<Addressed<'a>> {
        if let Some(name) = topic.strip_prefix(&self.root).and_then(|leaf| leaf.strip_prefix("cmd/")) {
            return (!name.contains('/')).then_some(Addressed { name, group: None });
        }
        let groups = topic.strip_prefix("roomd/v1/")?.strip_prefix(&self.fleet)?.strip_prefix("/g/")?;
        let (group, name) = groups.split_once("/cmd/")?;
        (!name.contains('/') && check_name("group", group).is_ok())
            .then_some(Addressed { name, group: Some(group) })
    }

    /// Which document or order without MQTT 5 a topic is; None: something else, or its name cannot be.
    pub fn incoming<'a>(&self, topic: &'a str) -> Option<Incoming<'a>> {
        let leaf = topic.strip_prefix(&self.root)?;
        let named = |kind: &str| {
            let name = leaf.strip_prefix(kind)?;
            check_name("name", name).is_ok().then_some(name)
        };
        match leaf {
            "config/desired" => Some(Incoming::ConfigDesired),
            _ => named("job/").map(Incoming::Job).or_else(|| named("set/").map(Incoming::Set)),
        }
    }

    /// Where Home Assistant looks for the description of this box.
    pub fn home_assistant(&self) -> String {
        // Home Assistant takes no dots there.
        let id: String = self.box_id().chars().map(|c| if c == '.' { '_' } else { c }).collect();
        format!("homeassistant/device/roomd_{id}/config")
    }

    /// The box's id.
    pub fn box_id(&self) -> &str {
        self.root.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }

    /// Where a client of this fleet may let itself be answered.
    ///
    /// # Errors
    /// [`TopicError::Name`].
    pub fn response(&self, client: &str) -> Result<String, TopicError> {
        check_name("client", client)?;
        Ok(format!("roomd/v1/{}/c/{client}/reply", self.fleet))
    }

    /// Checks a Response Topic and returns its `{client}`.
    ///
    /// # Errors
    /// [`TopicError::Response`]: it would let an asker make the box publish anywhere.
    pub fn client_of_response<'a>(&self, topic: &'a str) -> Result<&'a str, TopicError> {
        let prefix = format!("roomd/v1/{}/c/", self.fleet);
        let client = topic
            .strip_prefix(&prefix)
            .and_then(|rest| rest.split_once('/'))
            .filter(|(client, leaf)| check_name("client", client).is_ok() && !leaf.is_empty())
            .map(|(client, _)| client);
        let clean = topic.len() <= MAX_RESPONSE_TOPIC_BYTES
            && !topic.chars().any(|c| matches!(c, '+' | '#') || c.is_control());
        client.filter(|_| clean).ok_or(TopicError::Response { prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new("default", "box1").unwrap()
    }

    #[test]
    fn names_that_would_break_out_of_their_level_are_refused() {
        let long = "x".repeat(65);
        for bad in ["", "a/b", "+", "#", "a b", "ä", "$SYS", long.as_str()] {
            assert!(Topics::new(bad, "box1").is_err(), "{bad}");
            assert!(Topics::new("default", bad).is_err(), "{bad}");
            assert!(topics().group_commands(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_to_the_box_and_to_groups_are_told_apart_from_everything_else() {
        let topics = topics();
        let own = topics.addressed("roomd/v1/default/d/box1/cmd/room.join");
        assert_eq!(own, Some(Addressed { name: "room.join", group: None }));
        let group = topics.addressed("roomd/v1/default/g/floor2/cmd/ping");
        assert_eq!(group, Some(Addressed { name: "ping", group: Some("floor2") }));
        for other in [
            "roomd/v1/default/d/box2/cmd/ping",
            "roomd/v1/default/d/box1/state",
            "roomd/v1/default/d/box1/cmd/a/b",
            "roomd/v1/defaultx/g/floor2/cmd/ping",
            "roomd/v1/default/g/a/b/cmd/ping",
            "",
        ] {
            assert_eq!(topics.addressed(other), None, "{other}");
        }
    }

    #[test]
    fn documents_jobs_and_what_is_set_are_told_apart_and_their_names_are_checked() {
        let topics = topics();
        let incoming = |leaf: &str| topics.incoming(&topics.of_box(leaf)).map(|found| format!("{found:?}"));
        assert_eq!(incoming("config/desired").as_deref(), Some("ConfigDesired"));
        assert_eq!(incoming("job/update-7").as_deref(), Some("Job(\"update-7\")"));
        assert_eq!(incoming("set/record").as_deref(), Some("Set(\"record\")"));
        for other in ["job/", "job/a/status", "job/a b", "set/", "config/reported", "status", "cmd/ping", ""]
        {
            assert_eq!(incoming(other), None, "{other}");
        }
        assert_eq!(topics.incoming("roomd/v1/default/d/box2/config/desired"), None);
        let dotted = Topics::new("default", "hall.1").unwrap();
        assert_eq!(dotted.home_assistant(), "homeassistant/device/roomd_hall_1/config");
    }

    #[test]
    fn replies_go_only_into_the_askers_part_of_the_tree() {
        let topics = topics();
        assert_eq!(topics.client_of_response("roomd/v1/default/c/app/reply/7"), Ok("app"));
        assert_eq!(topics.client_of_response(&topics.response("app").unwrap()), Ok("app"));
        for bad in [
            "",
            "roomd/v1/default/c/app",
            "roomd/v1/default/c/app/",
            "roomd/v1/default/c//x",
            "roomd/v1/other/c/app/x",
            "roomd/v1/default/d/box1/status",
            "roomd/v1/default/c/app/+",
            "roomd/v1/default/c/app/#",
            "roomd/v1/default/c/app/\u{0}",
            &format!("roomd/v1/default/c/app/{}", "x".repeat(300)),
        ] {
            assert!(topics.client_of_response(bad).is_err(), "{bad}");
        }
    }
}
