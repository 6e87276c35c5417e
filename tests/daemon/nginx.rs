//! A real nginx with its RTMP module: records what arrives, and ends TLS in front of it.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::roomd::PATIENCE;

const MODULES: &str = "/usr/lib/nginx/modules";

/// An nginx on ports of its own; ended by its pid when dropped.
pub struct Nginx {
    pub rtmp: u16,
    pub rtmps: u16,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Nginx {
    /// Running, with certificate and key (PEM) for its TLS port, if any.
    pub fn start(tls: Option<(&str, &str)>) -> Nginx {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut nginx = Nginx { rtmp: free_port(), rtmps: free_port(), dir, child: None };
        nginx.configure(tls);
        nginx.launch();
        nginx
    }

    fn configure(&self, tls: Option<(&str, &str)>) {
        let dir = self.dir.path().display();
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let mut config = format!(
            "load_module {MODULES}/ngx_rtmp_module.so;\nload_module {MODULES}/ngx_stream_module.so;\n\
             daemon off;\nmaster_process off;\nuser {user};\npid {dir}/pid;\nerror_log {dir}/error.log info;\n\
             events {{ worker_connections 64; }}\n\
             rtmp {{ server {{ listen 127.0.0.1:{}; application live {{ live on; record all; record_path {dir}; \
             record_unique on; }} }} }}\n",
            self.rtmp
        );
        if let Some((certificate, key)) = tls {
            let write = |name, text| std::fs::write(self.dir.path().join(name), text).expect("written");
            write("cert.pem", certificate);
            write("key.pem", key);
            config += &format!(
                "stream {{ server {{ listen 127.0.0.1:{} ssl; ssl_certificate {dir}/cert.pem; \
                 ssl_certificate_key {dir}/key.pem; proxy_pass 127.0.0.1:{}; }} }}\n",
                self.rtmps, self.rtmp
            );
        }
        std::fs::write(self.dir.path().join("nginx.conf"), config).expect("nginx.conf is written");
    }

    /// Starts it and waits until it listens.
    pub fn launch(&mut self) {
        assert!(
            Path::new(MODULES).join("ngx_rtmp_module.so").exists(),
            "nginx's RTMP module is missing (Debian: nginx-light, libnginx-mod-rtmp, libnginx-mod-stream): run \
             `scripts/install.sh test`"
        );
        let dir = self.dir.path().display().to_string();
        let log = std::fs::File::create(self.dir.path().join("stderr.log")).expect("a log");
        let child = Command::new("/usr/sbin/nginx")
            .args(["-p", &dir, "-c", &format!("{dir}/nginx.conf"), "-e", &format!("{dir}/error.log")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("nginx starts"));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.rtmp)).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("{}{}", read("error.log"), read("stderr.log"))
    }

    /// `rtmp://…`
    pub fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live", self.rtmp)
    }

    /// What it has recorded under `key`, a file a connection, oldest first.
    pub fn recorded(&self, key: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).expect("nginx's folder").flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&format!("{key}-")) && name.ends_with(".flv")
        });
        // Their names end with the time.
        files.sort();
        files
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- nginx's log\n{}", self.log());
        }
        self.kill();
    }
}

/// A port on loopback that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port").port()
}
