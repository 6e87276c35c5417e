//! The rooms that app servers have made for later: their names, and what is laid down for them. They are there whether
//! or not anybody is in them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Grant, Refusal};

/// What is laid down for a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Its other name: tokens may name the room so.
    pub custom_id: Option<String>,
    /// Nobody may join (any more).
    pub disabled: bool,
    /// Each of its sessions ends after this.
    pub lifetime: Option<Duration>,
    /// And then it is disabled.
    pub once: bool,
}

/// All of them, by their id, which is the room's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    rooms: BTreeMap<String, Registered>,
    aliases: BTreeMap<String, String>,
}

impl Directory {
    /// Enters a room, or replaces what was laid down for it.
    pub fn set(&mut self, id: &str, room: Registered) {
        if let Some(before) = self.rooms.get(id).and_then(|room| room.custom_id.as_ref()) {
            self.aliases.remove(before);
        }
        if let Some(custom_id) = &room.custom_id {
            self.aliases.insert(custom_id.clone(), id.to_owned());
        }
        self.rooms.insert(id.to_owned(), room);
    }

    /// What is laid down for the room of this name.
    pub fn get(&self, id: &str) -> Option<&Registered> {
        self.rooms.get(id)
    }

    /// The room's name, for its id or custom id; any other name is one already.
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.aliases.get(id).map_or(id, String::as_str)
    }

    /// Nobody may join it any more. False: there is none, or it was so already.
    pub fn disable(&mut self, id: &str) -> bool {
        self.rooms.get_mut(id).is_some_and(|room| !std::mem::replace(&mut room.disabled, true))
    }

    /// The grant with the room's name in it.
    #[must_use]
    pub fn settled(&self, grant: Grant) -> Grant {
        Grant { room: self.name(&grant.room).to_owned(), ..grant }
    }

    /// Whether somebody may join now.
    ///
    /// # Errors
    /// [`Refusal::Disabled`].
    pub fn check(&self, room: &str) -> Result<(), Refusal> {
        match self.rooms.get(room) {
            Some(found) if found.disabled => Err(Refusal::Disabled { room: room.to_owned() }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_found_by_both_names_until_it_is_renamed() {
        let mut directory = Directory::default();
        let named = |name: &str| Registered { custom_id: Some(name.into()), ..Registered::default() };
        directory.set("abcd-efgh-ijkl", named("daily"));
        assert_eq!(directory.name("daily"), "abcd-efgh-ijkl");
        assert_eq!(directory.name("abcd-efgh-ijkl"), "abcd-efgh-ijkl");
        assert_eq!(directory.name("lobby"), "lobby");
        let grant = Grant { room: "daily".into(), room_join: true, ..Grant::default() };
        assert!(directory.settled(grant).may_join("abcd-efgh-ijkl"));
        directory.set("abcd-efgh-ijkl", named("weekly"));
        assert_eq!((directory.name("daily"), directory.name("weekly")), ("daily", "abcd-efgh-ijkl"));
    }

    #[test]
    fn nobody_joins_a_disabled_room_and_others_are_open_to_all() {
        let mut directory = Directory::default();
        directory.set("abcd-efgh-ijkl", Registered::default());
        assert_eq!(directory.check("abcd-efgh-ijkl"), Ok(()));
        assert!(directory.disable("abcd-efgh-ijkl") && !directory.disable("abcd-efgh-ijkl"));
        assert!(!directory.disable("lobby"));
        let refused = Refusal::Disabled { room: "abcd-efgh-ijkl".into() };
        assert_eq!(directory.check("abcd-efgh-ijkl"), Err(refused));
        assert_eq!(directory.check("lobby"), Ok(()));
    }
}
