//! Two boxes in one room of the first one's server: whatever is done to that server, they must go on talking.

use std::time::{Duration, SystemTime};

use roomd::room::Grant;
use roomd::room::token::Keys;

use crate::http;
use crate::roomd::Roomd;

/// A box that serves the room `lobby` and is in it, and a second one that has joined it from outside.
pub struct Pair {
    pub server: Roomd,
    pub guest: Roomd,
    /// The server's keys.
    pub keys: Keys,
    /// The server's plain listener.
    pub address: String,
}

impl Pair {
    /// Both are joined and their media flows.
    pub fn start() -> Pair {
        let server = Roomd::start("[room]\nname = \"lobby\"");
        let (keys, secret) = keys(&server);
        let address = server.address("http");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("secret");
        std::fs::write(&file, &secret).expect("the secret is written");
        let config = format!(
            "[room]\nname = \"lobby\"\nurl = \"ws://{address}\"\napi_key = \"{}\"\napi_secret_file = \"{}\"\n[server]\nenabled = false",
            keys.first(),
            file.display()
        );
        let guest = Roomd::start_in(dir, &config);
        let mut pair = Pair { server, guest, keys, address };
        pair.assert_goes_on("at the start");
        pair
    }

    /// A token of the server's, good for a minute.
    pub fn token(&self, grant: &Grant) -> String {
        self.keys.mint(grant, Duration::from_secs(60), SystemTime::now())
    }

    /// What somebody needs to join as `identity`.
    pub fn joining(identity: &str) -> Grant {
        Grant {
            identity: identity.to_owned(),
            room: "lobby".to_owned(),
            room_join: true,
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            ..Grant::default()
        }
    }

    /// One of the server's metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let admin = Grant { identity: "test".to_owned(), room_admin: true, ..Grant::default() };
        let header = format!("Authorization: Bearer {}", self.token(&admin));
        let text = http::get(&self.address, "/metrics", &[&header]).text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Waits until nobody but the two is in the room, both are joined, and packets flow between them.
    pub fn assert_goes_on(&mut self, when: &str) {
        let joined = |roomd: &Roomd| roomd.state()["room"]["status"] == "joined";
        self.guest.wait_for(&format!("the guest in the room {when}"), joined);
        self.server.wait_for(&format!("the box in its room {when}"), joined);
        let deadline = std::time::Instant::now() + crate::roomd::PATIENCE;
        let before = self.metric("roomd_sfu_packets_forwarded_total");
        loop {
            let now = self.metric("roomd_sfu_packets_forwarded_total");
            let participants = self.metric("roomd_participants");
            if now > before + 200.0 && participants == 2.0 {
                return;
            }
            let log = || self.server.log();
            assert!(
                std::time::Instant::now() < deadline,
                "{when}: {participants} participants, {} packets forwarded\n{}",
                now - before,
                log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Neither has ever left the room meanwhile: each has joined once.
    pub fn stop(self) {
        for roomd in [&self.guest, &self.server] {
            let log = roomd.log();
            for word in ["resuming", "backing off", "connect anew"] {
                assert!(!log.contains(word), "{word:?} in\n{log}");
            }
        }
        self.guest.stop();
        self.server.stop();
    }
}

/// The keys that a box has made for itself, and the secret.
pub fn keys(roomd: &Roomd) -> (Keys, String) {
    let text = std::fs::read_to_string(roomd.path("state/keys.toml")).expect("the box has made its keys");
    let secret = text.split('"').find(|part| part.len() >= 32).expect("a secret").to_owned();
    (Keys::parse(&text).expect("keys"), secret)
}
