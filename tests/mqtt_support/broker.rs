//! A real mosquitto, on a port and in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command as Process};

use super::{Authority, patiently};

/// A mosquitto on a port of its own; ends with the value.
pub struct Broker {
    pub port: u16,
    dir: tempfile::TempDir,
    child: Child,
}

impl Broker {
    pub async fn start() -> Broker {
        Broker::with(&[]).await
    }

    pub async fn with_anonymous(anonymous: bool) -> Broker {
        Broker::configured(&[], anonymous).await
    }

    pub async fn with(extra: &[&str]) -> Broker {
        Broker::configured(extra, true).await
    }

    async fn configured(extra: &[&str], anonymous: bool) -> Broker {
        let dir = tempfile::tempdir().unwrap();
        // Another process may take the port between asking for it and using it: then another one.
        for _ in 0..5 {
            let port = free_port();
            let config = format!(
                "listener {port} 127.0.0.1\nallow_anonymous {anonymous}\nset_tcp_nodelay true\n\
                 persistence false\nuser {}\n{}\n",
                std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
                extra.join("\n")
            );
            std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
            if let Some(child) = launch(dir.path(), port).await {
                return Broker { port, dir, child };
            }
        }
        panic!("mosquitto does not start");
    }

    /// Wants TLS and a client certificate, both of `authority`.
    pub async fn with_tls(authority: &Authority) -> Broker {
        let file = |name: &str| authority.dir.path().join(name).display().to_string();
        let tls = [
            format!("cafile {}", file("ca.pem")),
            format!("certfile {}", file("broker.pem")),
            format!("keyfile {}", file("broker.key")),
            "require_certificate true".to_owned(),
        ];
        Broker::with(&tls.each_ref().map(String::as_str)).await
    }

    /// Lets in only `user` with `password`.
    pub async fn with_password(user: &str, password: &str) -> Broker {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("passwords");
        let mut make = Process::new("mosquitto_passwd");
        make.args(["-b", "-c"]).arg(&file).args([user, password]);
        assert!(make.status().await.unwrap().success());
        let setting = format!("password_file {}", file.display());
        // Read at the start only.
        Broker::configured(&[&setting], false).await
    }

    /// By the sample configuration of `docs/mosquitto`, with `authority`'s certificates: ports and folders are replaced,
    /// nothing else. Returns the port for people too; `operator` and `viewer` have the password `secret`.
    pub async fn by_the_sample(authority: &Authority) -> (Broker, u16) {
        let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/mosquitto");
        let dir = tempfile::tempdir().unwrap();
        for name in ["ca.pem", "broker.pem", "broker.key"] {
            std::fs::copy(authority.dir.path().join(name), dir.path().join(name)).unwrap();
        }
        std::fs::copy(sample.join("acl"), dir.path().join("acl")).unwrap();
        let passwords = dir.path().join("passwords");
        std::fs::write(&passwords, "").unwrap();
        for user in ["operator", "viewer"] {
            let mut make = Process::new("mosquitto_passwd");
            make.arg("-b").arg(&passwords).args([user, "secret"]);
            assert!(make.status().await.unwrap().success());
        }
        for _ in 0..5 {
            let [port, people] = [0, 1].map(|_| free_port());
            let mut config = std::fs::read_to_string(sample.join("mosquitto.conf")).unwrap();
            for (from, to) in [
                ("/etc/mosquitto/", format!("{}/", dir.path().display())),
                ("/var/lib/mosquitto/", format!("{}/", dir.path().display())),
                ("listener 8883", format!("listener {port} 127.0.0.1")),
                ("listener 8884", format!("listener {people} 127.0.0.1")),
            ] {
                assert!(config.contains(from), "the sample has no {from}");
                config = config.replace(from, &to);
            }
            let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
            std::fs::write(dir.path().join("mosquitto.conf"), format!("{config}user {user}\n")).unwrap();
            if let Some(child) = launch(dir.path(), port).await {
                return (Broker { port, dir, child }, people);
            }
        }
        panic!("mosquitto does not start by the sample configuration");
    }

    /// One of mosquitto's clients at `port` of this broker, by TLS, as `user`: its exit code and what it said.
    pub async fn client_as(&self, user: &str, port: u16, program: &str, args: &[&str]) -> (i32, String) {
        let ca = self.dir.path().join("ca.pem");
        let running = Process::new(program)
            .args([
                "-V",
                "5",
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-q",
                "1",
                "-u",
                user,
                "-P",
                "secret",
            ])
            .args(["-i", user, "--cafile", &ca.display().to_string()])
            .args(args)
            .kill_on_drop(true)
            .output();
        let output = patiently(program, running).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    /// Stops it without closing anything.
    pub async fn freeze(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Process::new("kill").args(["-STOP", &pid]).status().await.unwrap().success());
    }

    /// Lets it go on after [`Broker::freeze`].
    pub async fn thaw(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Process::new("kill").args(["-CONT", &pid]).status().await.unwrap().success());
    }

    /// As a power cut would.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn restart(&mut self) {
        self.child = launch(self.dir.path(), self.port).await.expect("mosquitto starts again");
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn launch(dir: &Path, port: u16) -> Option<Child> {
    let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("mosquitto is not installed (Debian: apt-get install mosquitto)");
    let mut child = Process::new(program)
        .arg("-c")
        .arg(dir.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    patiently("mosquitto", async {
        loop {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(child);
            }
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
