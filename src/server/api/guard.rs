//! Who asks, how often, and how much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::request::Parts;

use super::Api;
use crate::base::clock;
use crate::room::Grant;
use crate::server::http::{Via, token_of_parts};

/// Largest body of a call, in bytes.
pub(super) const BODY_BYTES: usize = 256 * 1024;
/// Longest wait for a whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls a second that one address may go on making, and how many it may make at once.
const RATE: u32 = 100;
const BURST: u32 = 200;
/// Addresses that are counted. One more: the one that has been quiet for longest is forgotten.
const ADDRESSES: usize = 1024;

/// Why a call is not even looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rejection {
    /// No token, or a bad one; the reason names no secret.
    #[error("{0}")]
    Token(String),
    /// Too many calls.
    #[error("more than {RATE} calls a second")]
    TooMany,
    /// Too large.
    #[error("the body is broken off, or larger than 256 KiB")]
    Body,
    /// Too slow.
    #[error("the body did not come within 10 s")]
    Slow,
}

impl Api {
    /// What the asker may do, if it does not ask too often.
    pub(super) fn authorize(&self, parts: &Parts) -> Result<Grant, Rejection> {
        if let Some(via) = parts.extensions.get::<Via>()
            && !self.rates.may_call(via.peer.ip(), clock::now())
        {
            return Err(Rejection::TooMany);
        }
        let token = token_of_parts(parts).unwrap_or_default();
        let grant = self.keys.verify(token, clock::wall());
        let grant = grant.map_err(|error| Rejection::Token(error.to_string()))?;
        Ok(self.rooms.directory().settled(grant))
    }
}

/// The whole body.
pub(super) async fn whole(body: Body) -> Result<Bytes, Rejection> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Rejection::Body),
        Err(_) => Err(Rejection::Slow),
    }
}

/// A token bucket an address.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<IpAddr, Bucket>>);

#[derive(Debug)]
struct Bucket {
    calls: f64,
    at: Instant,
}

impl Rates {
    fn may_call(&self, address: IpAddr, now: Instant) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(&address) && buckets.len() >= ADDRESSES {
            let quiet = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(address, _)| *address);
            quiet.and_then(|address| buckets.remove(&address));
        }
        let bucket = buckets.entry(address).or_insert(Bucket { calls: BURST.into(), at: now });
        let refilled = now.saturating_duration_since(bucket.at).as_secs_f64() * f64::from(RATE);
        (bucket.calls, bucket.at) = ((bucket.calls + refilled).min(BURST.into()), now);
        let may = bucket.calls >= 1.0;
        bucket.calls -= if may { 1.0 } else { 0.0 };
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_call_in_a_burst_and_then_so_often_and_others_are_not_held_back() {
        let (rates, start) = (Rates::default(), clock::now());
        let [one, two] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let made = (0..1000).filter(|_| rates.may_call(one, start)).count();
        assert_eq!(made, BURST as usize);
        assert!(rates.may_call(two, start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| rates.may_call(one, later)).count(), RATE as usize);
    }

    #[test]
    fn many_addresses_take_no_more_memory() {
        let (rates, start) = (Rates::default(), clock::now());
        for n in 0..5000u32 {
            rates.may_call(IpAddr::from(n.to_be_bytes()), start + Duration::from_millis(n.into()));
        }
        assert_eq!(rates.0.lock().unwrap().len(), ADDRESSES);
    }
}
