//! A guest on another machine of the local network, over TLS, trusting the box's own authority.

use std::path::Path;
use std::process::Command;

use crate::guest::{self, Guest};
use crate::network::Network;
use crate::roomd::Roomd;
use crate::{gate, http};

/// Makes the browser of `home` trust `authority` (PEM), as a person would by importing `/ca.crt`.
fn trust(home: &Path, authority: &Path) {
    let folder = home.join(".pki/nssdb");
    std::fs::create_dir_all(&folder).expect("a folder for the certificates");
    let database = format!("sql:{}", folder.display());
    let authority = authority.display().to_string();
    let add = ["-A", "-t", "C,,", "-n", "box", "-i", &authority];
    for arguments in [&["-N", "--empty-password"][..], &add] {
        let output = Command::new("certutil")
            .args(["-d", &database])
            .args(arguments)
            .output()
            .expect("certutil runs (Debian: libnss3-tools)");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "certutil {arguments:?}: {said}");
    }
}

#[test]
fn a_guest_on_the_lan_that_trusts_the_boxs_authority_sees_and_hears_it_over_tls() {
    let _gate = gate::alone();
    let network = Network::new();
    let config = format!(
        "[room]\nname = \"lobby\"\n[server]\nlisten_tls = \"{}:0\"\nnode_ip = \"auto\"",
        network.here
    );
    let mut roomd = Roomd::start(&config);
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");

    let home = roomd.path("home");
    let authority = http::get(&roomd.address("http"), "/ca.crt", &[]);
    assert_eq!(authority.status, 200, "{authority:?}");
    let file = roomd.path("ca.crt");
    std::fs::write(&file, &authority.body).expect("the authority is written");
    trust(&home, &file);

    let link = guest::link(&roomd, &format!("https://{}:", network.here));
    let (within, screenshots) = (network.within(), guest::screenshots("lan-guest"));
    let guest = Guest { link: &link, seconds: 10, within: &within, home: &home, screenshots };
    let seen = guest::visit(&roomd, &guest);
    guest::check(&seen, 10);
    roomd.stop();
}

#[test]
fn a_guest_that_does_not_trust_the_authority_is_warned_by_its_browser() {
    let _gate = gate::alone();
    let roomd = Roomd::start("[server]\nlisten_tls = \"127.0.0.1:0\"");
    let link = guest::link(&roomd, "https://");
    let wish =
        serde_json::json!({"link": link, "profile": roomd.path("profile"), "sound": "", "identity": ""});
    let said =
        guest::browse(&[], &roomd.path("home"), "guest.mjs", &wish).expect_err("the page must not open");
    assert!(said.contains("ERR_CERT_AUTHORITY_INVALID"), "{said}");
}
