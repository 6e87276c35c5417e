//! A TCP proxy that is unkind: it delays, swallows and resets, at random but by a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to a port of this machine; ends with the runtime.
pub struct BadLink {
    pub port: u16,
    cuts: Arc<AtomicUsize>,
}

impl BadLink {
    pub async fn to(port: u16, seed: u64) -> BadLink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("its address").port();
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = cuts.clone();
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            while let Ok((inside, _)) = listener.accept().await {
                let (rng, cuts) = (StdRng::seed_from_u64(rng.random()), counted.clone());
                tokio::spawn(pass(inside, port, rng, cuts));
            }
        });
        BadLink { port: own, cuts }
    }

    /// Connections that it has broken.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

async fn pass(inside: TcpStream, port: u16, mut rng: StdRng, cuts: Arc<AtomicUsize>) {
    let Ok(outside) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    for stream in [&inside, &outside] {
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
    let life = Duration::from_millis(rng.random_range(50..2500));
    // Before it breaks, it swallows for a while what either side says.
    let swallow = Duration::from_millis(if rng.random_bool(0.5) { rng.random_range(0..400) } else { 0 });
    let deaf_at = tokio::time::Instant::now() + life - swallow.min(life);
    let (from_inside, to_inside) = inside.into_split();
    let (from_outside, to_outside) = outside.into_split();
    let up = forward(from_inside, to_outside, StdRng::seed_from_u64(rng.random()), deaf_at);
    let down = forward(from_outside, to_inside, StdRng::seed_from_u64(rng.random()), deaf_at);
    tokio::select! {
        () = up => {}
        () = down => {}
        () = tokio::time::sleep(life) => drop(cuts.fetch_add(1, Ordering::SeqCst)),
    }
}

/// Until either side ends; each piece late by up to 30 ms, and lost after `deaf_at`.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut rng: StdRng,
    deaf_at: tokio::time::Instant,
) {
    let mut piece = vec![0; 4096];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..30))).await;
        if tokio::time::Instant::now() < deaf_at && to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
