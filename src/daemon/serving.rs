//! The embedded room server and the pages: keys, certificates, listeners, and what they are given to show.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use super::metrics::{BridgeCollector, LiveCollector, ProcessCollector, RoomsCollector};
use crate::base::Shutdown;
use crate::config::{ServerSettings, Settings};
use crate::control::ControlHandle;
use crate::media::{LatestPicture, Meter};
use crate::record;
use crate::room::token::Keys;
use crate::rtc::sfu::{Codecs, NodeIp};
use crate::server::admin::Admin;
use crate::server::http::{self, Health, Http, RecordingEntry, Recordings};
use crate::server::report::{self, Reports};
use crate::server::{api, keys, signal, tls};
use crate::store::{Store, StoreError};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// The keys file.
    #[error(transparent)]
    Keys(#[from] keys::KeysFileError),
    /// `server.codecs`.
    #[error("server.codecs: {given} given; one video codec is needed at least: h264, vp8, vp9 or av1")]
    Codecs {
        /// As configured.
        given: String,
    },
    /// The ports for media or the thread of the rooms.
    #[error(transparent)]
    Rooms(#[from] signal::StartError),
    /// The rooms that were made for later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listener or a certificate.
    #[error(transparent)]
    Http(#[from] http::Error),
}

/// What the server shows and gives orders to.
pub struct Shown {
    /// Orders and state.
    pub control: ControlHandle,
    /// The newest picture.
    pub latest: LatestPicture,
    /// How loud the microphone is.
    pub meter: Meter,
    /// The catalogue.
    pub store: Store,
    /// Where recordings lie.
    pub recording: record::Config,
    /// What Prometheus is told.
    pub collector: ProcessCollector,
    /// And of going live.
    pub live: LiveCollector,
    /// And of the bridge to the broker, if there is one.
    pub bridge: Option<BridgeCollector>,
    /// Whether the box lives and takes joins.
    pub health: Health,
}

/// The running server.
pub struct Serving {
    /// The listeners.
    pub http: Arc<Http>,
    /// What its tokens are signed with.
    pub keys: Arc<Keys>,
    /// The rooms.
    pub rooms: signal::Handle,
    reports: Reports,
    shutdown: Shutdown,
}

impl Serving {
    /// Reads or makes the keys, binds every address and serves.
    ///
    /// # Errors
    /// [`ServingError`]; nothing is left running then.
    pub async fn start(
        server: &ServerSettings,
        settings: &Settings,
        box_id: &str,
        shown: Shown,
    ) -> Result<Serving, ServingError> {
        let state_dir = &settings.device.state_dir;
        let (keys, keys_path) = keys::load(server.keys_file.as_deref(), state_dir)?;
        tracing::info!(path = %keys_path.display(), "keys");
        let (keys, shutdown) = (Arc::new(keys), Shutdown::new());
        let codecs = Codecs::parse(server.codecs.iter().map(String::as_str))
            .ok_or_else(|| ServingError::Codecs { given: server.codecs.join(", ") })?;
        let node_ip = server.node_ip.map_or(NodeIp::Auto, NodeIp::Fixed);
        let (rtc_udp, rtc_tcp) = (server.rtc_udp, server.rtc_tcp);
        let bandwidth_estimation = server.bandwidth_estimation;
        let shards = signal::Shards::default();
        let config = signal::Config { rtc_udp, rtc_tcp, node_ip, codecs, bandwidth_estimation, shards };
        let rooms = signal::start(config, shutdown.clone())?;
        let (store, events) = (shown.store.clone(), rooms.events());
        api::register_rooms(&rooms, &store)?;
        let apis = api::routes(rooms.clone(), keys.clone(), store.clone());
        let rtc = signal::routes(rooms.clone(), keys.clone()).merge(apis);
        let certificates = match &settings.tls.files {
            Some((cert_file, key_file)) => {
                tls::Source::Files { cert_file: cert_file.clone(), key_file: key_file.clone() }
            }
            None => tls::Source::Own { state_dir: state_dir.clone(), box_id: box_id.to_owned() },
        };
        let config = http::Config {
            listen: Some(server.listen),
            listen_tls: server.listen_tls,
            certificates,
            box_id: box_id.to_owned(),
            box_name: settings.device.name.clone(),
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(shown.collector));
        registry.register_collector(Box::new(shown.live));
        if let Some(bridge) = shown.bridge {
            registry.register_collector(Box::new(bridge));
        }
        registry.register_collector(Box::new(RoomsCollector(rooms.clone())));
        let deps = http::Deps {
            control: shown.control,
            picture: shown.latest,
            meter: shown.meter,
            recordings: listing(shown.store, shown.recording),
            keys: keys.clone(),
            admin: Admin::default(),
            registry: Arc::new(registry),
            health: shown.health,
            rtc,
        };
        let http = Arc::new(http::start(config, deps, shutdown.clone()).await?);
        let reports = report::start(server.webhook_urls.clone(), events, store, keys.clone());
        Ok(Serving { http, keys, rooms, reports, shutdown })
    }

    /// Takes no more requests, waits a moment for the open ones, and ends.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.http.finished().await;
        self.reports.stop().await;
    }
}

/// The catalogue as the pages show it.
fn listing(store: Store, config: record::Config) -> Recordings {
    Arc::new(move || {
        let rows = store.recordings()?;
        let entry = |row: crate::store::RecordingRow| {
            let path = config.dir.join(&row.file);
            // The catalogue learns the size at the end; until then the file itself tells.
            let growing = (row.bytes == 0).then(|| std::fs::metadata(&path).map_or(0, |meta| meta.len()));
            RecordingEntry {
                id: row.id,
                room: row.room,
                file: row.file,
                path,
                started_at: row.started_at,
                duration_ms: row.duration.as_millis() as u64,
                bytes: growing.unwrap_or(row.bytes),
                status: row.status.as_str().to_owned(),
            }
        };
        Ok(rows.into_iter().map(entry).collect())
    })
}
