//! Sends what is in the outbox.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use super::post::{Failure, post};
use super::{WebhookUrl, lanes, ms};
use crate::base::{Shutdown, clock};
use crate::https::tls;
use crate::room::token::Keys;
use crate::store::{Store, StoreError, WebhookRow};

/// How long a message's token is good.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// How long to wait after the database failed.
const AFTER_ERROR: Duration = Duration::from_secs(10);

pub(super) struct Sender {
    store: Store,
    keys: Arc<Keys>,
    /// None: TLS cannot be set up; then nothing is sent.
    tls: Option<Arc<ClientConfig>>,
    under_way: Vec<WebhookRow>,
}

type Sent = (WebhookRow, Result<(), Failure>);

impl Sender {
    pub(super) fn new(store: Store, keys: Arc<Keys>) -> Sender {
        let tls = tls::client_config(None).inspect_err(|error| error!(%error, "no webhooks are sent")).ok();
        Sender { store, keys, tls, under_way: Vec::new() }
    }

    /// Until `stop`; then until what is due was tried once more. `fresh`: something new is in the outbox.
    pub(super) async fn run(mut self, fresh: Arc<Notify>, stop: Shutdown) {
        let Some(tls) = self.tls.clone() else { return };
        let mut sending: JoinSet<Sent> = JoinSet::new();
        loop {
            let wait = match self.begin(&tls, &mut sending).await {
                Ok(wait) => wait,
                Err(error) => {
                    error!(%error, "the outbox of webhooks cannot be read");
                    AFTER_ERROR
                }
            };
            if stop.is_cancelled() && sending.is_empty() {
                return;
            }
            tokio::select! {
                Some(Ok((row, result))) = sending.join_next() => self.settle(row, result).await,
                () = fresh.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Sends what is due. Tells how long nothing more will be.
    async fn begin(
        &mut self,
        tls: &Arc<ClientConfig>,
        sending: &mut JoinSet<Sent>,
    ) -> Result<Duration, StoreError> {
        let now_ms = ms(clock::wall());
        let heads = self.blocking(|store| store.webhook_heads()).await?;
        let plan = lanes::plan(heads, &self.under_way, now_ms);
        for row in plan.send {
            self.under_way.push(row.clone());
            sending.spawn(send(row, Arc::clone(&self.keys), Arc::clone(tls)));
        }
        let more = !plan.give_up.is_empty();
        for row in plan.give_up {
            warn!(
                id = row.message.id,
                attempts = row.attempts,
                "a webhook was not taken for 24 hours: given up"
            );
            self.blocking(move |store| store.drop_webhook(row.number)).await?;
        }
        let left_ms = plan.look_at_ms.map_or(60_000, |at| (at - now_ms).clamp(1, 60_000));
        Ok(if more { Duration::ZERO } else { Duration::from_millis(left_ms.unsigned_abs()) })
    }

    async fn settle(&mut self, row: WebhookRow, result: Result<(), Failure>) {
        let (number, id) = (row.number, row.message.id);
        let kept = match result {
            Ok(()) => {
                debug!(id, "a webhook was taken");
                self.blocking(move |store| store.drop_webhook(number)).await
            }
            Err(failure) => {
                let next_ms = lanes::next_ms(row.attempts, ms(clock::wall()), &mut rand::rng());
                let to = WebhookUrl::parse(&row.message.url);
                warn!(id, ?to, attempts = row.attempts + 1, %failure, "a webhook was not taken");
                self.blocking(move |store| store.delay_webhook(number, next_ms)).await
            }
        };
        if let Err(error) = kept {
            // It is sent again: twice is better than never.
            error!(%error, "the outbox of webhooks cannot be written");
            tokio::time::sleep(AFTER_ERROR).await;
        }
        self.under_way.retain(|row| row.number != number);
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done,
            // The runtime is going down, and this task with it.
            Err(_) => std::future::pending().await,
        }
    }
}

async fn send(row: WebhookRow, keys: Arc<Keys>, tls: Arc<ClientConfig>) -> Sent {
    let Some(url) = WebhookUrl::parse(&row.message.url) else {
        return (row, Err(Failure::Address));
    };
    let body = row.message.body.clone();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let token = keys.sign_body(&STANDARD.encode(digest), TOKEN_LIFETIME, clock::wall());
    let result = post(&url, &tls, &token, body).await;
    (row, result)
}
