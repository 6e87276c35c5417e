//! One published track: its layers as they arrive, and everyone who gets it.

use std::time::Duration;

use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;
use crate::media::KeyframeArbiter;

use super::dynacast::Dynacast;
use super::forward::{Forwarder, Incoming, Outgoing};
use super::layer::{self, LayerSizes, Wish};
use super::rate::RateMeter;
use crate::media::Layer;

/// A layer that was silent this long is not being sent any more.
const SILENT_AFTER: Duration = Duration::from_millis(1500);
/// How often a subscriber that waits for a keyframe asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What a picture of a camera needs a second, for layers of which nothing else is known.
const BITS_PER_PIXEL: u32 = 2;
/// The same for layers whose size is not known either.
const UNKNOWN_BPS: [u32; 3] = [150_000, 450_000, 1_700_000];

/// One subscriber of a track. `T` is whatever the driver needs to reach it.
#[derive(Debug)]
pub struct Subscriber<T> {
    /// Where its copies go.
    pub to: T,
    /// What it asked for.
    pub wish: Wish,
    /// The largest layer that its bandwidth allows; means nothing for a track of one layer.
    pub ceiling: Layer,
    /// Not even that: nothing is sent. It still counts as a watcher of `ceiling`, so that this layer goes on being
    /// published: what it needs stays known, and there is something to go on with.
    pub paused: bool,
    /// Its connection is up and the track negotiated: packets can be sent.
    pub ready: bool,
    forwarder: Forwarder,
}

#[derive(Debug, Default)]
struct Source {
    seen: Option<MediaTime>,
    keyframes: KeyframeArbiter,
    rate: RateMeter,
}

/// How a track comes in layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layering {
    /// Not at all: everything arrives as [`Layer::Full`].
    One,
    /// A stream for each layer.
    Simulcast,
    /// One stream of spatial layers, of which the larger need the smaller.
    Spatial,
}

/// A published track and its subscribers.
#[derive(Debug)]
pub struct Route<T> {
    rate: ClockRate,
    video: bool,
    layering: Layering,
    sizes: LayerSizes,
    /// Bits per second of each layer, as announced.
    announced: [Option<u32>; 3],
    muted: bool,
    sources: [Source; 3],
    dynacast: Dynacast,
    asked: Option<MediaTime>,
    subscribers: Vec<Subscriber<T>>,
}

impl<T: PartialEq> Route<T> {
    /// An audio track.
    pub fn audio() -> Self {
        Route::new(ClockRate::AUDIO, false, Layering::One, [None; 3])
    }

    /// A video track; `sizes` by layer as announced.
    pub fn video(layering: Layering, sizes: LayerSizes) -> Self {
        Route::new(ClockRate::VIDEO, true, layering, sizes)
    }

    fn new(rate: ClockRate, video: bool, layering: Layering, sizes: LayerSizes) -> Self {
        Route {
            rate,
            video,
            layering,
            sizes,
            announced: [None; 3],
            muted: false,
            sources: Default::default(),
            dynacast: Dynacast::default(),
            asked: None,
            subscribers: Vec::new(),
        }
    }

    /// Ticks per second of its timestamps.
    pub fn rate(&self) -> ClockRate {
        self.rate
    }

    /// Whether it is video: then keyframes and retransmission matter.
    pub fn is_video(&self) -> bool {
        self.video
    }

    /// How it comes in layers.
    pub fn layering(&self) -> Layering {
        self.layering
    }

    /// The publisher announced other sizes.
    pub fn set_sizes(&mut self, sizes: LayerSizes) {
        self.sizes = sizes;
    }

    /// The publisher announced so many bits per second by layer.
    pub fn set_announced(&mut self, bits_per_second: [Option<u32>; 3]) {
        self.announced = bits_per_second;
    }

    /// A muted track is not sent, whatever its publisher still sends, and needs no bandwidth.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        if muted {
            self.interrupt();
        }
    }

    /// See [`Route::set_muted`].
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Everyone who gets it.
    pub fn subscribers(&self) -> &[Subscriber<T>] {
        &self.subscribers
    }

    /// Where everyone's copies go.
    pub fn destinations_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.subscribers.iter_mut().map(|subscriber| &mut subscriber.to)
    }

    /// The subscriber for which `is` holds.
    pub fn subscriber_mut(&mut self, is: impl Fn(&T) -> bool) -> Option<&mut Subscriber<T>> {
        self.subscribers.iter_mut().find(|subscriber| is(&subscriber.to))
    }

    /// Adds a subscriber, not ready yet. An equal one is replaced.
    pub fn subscribe(&mut self, to: T, wish: Wish) {
        self.subscribers.retain(|subscriber| subscriber.to != to);
        let (ceiling, forwarder) = (Layer::Full, Forwarder::new(self.rate));
        self.subscribers.push(Subscriber { to, wish, ceiling, paused: false, ready: false, forwarder });
    }

    /// Removes the subscribers for which `is` holds; true when there was one.
    pub fn unsubscribe(&mut self, is: impl Fn(&T) -> bool) -> bool {
        let before = self.subscribers.len();
        self.subscribers.retain(|subscriber| !is(&subscriber.to));
        self.subscribers.len() != before
    }

    /// Notes that a packet has arrived; then it may be forwarded. True when its layer has just begun to arrive: call
    /// [`Route::refresh`], so that whoever waits for this layer gets it from this packet on.
    pub fn arrived(&mut self, packet: &Incoming) -> bool {
        if self.muted {
            return false;
        }
        let source = &mut self.sources[packet.layer.index()];
        let began = source.seen.is_none_or(|at| packet.arrival.since(at) >= SILENT_AFTER);
        source.seen = Some(packet.arrival);
        source.rate.add(packet.bytes, packet.arrival);
        if packet.keyframe {
            let asked = asked(self.layering, packet.layer);
            self.sources[asked.index()].keyframes.keyframe_sent(packet.arrival);
        }
        began
    }

    /// Hands packets, in the order of their arrival, to everyone who gets copies: all of them to one subscriber, then to
    /// the next, so that what one needs is in the processor's caches once for all of them.
    pub fn forward<'a, P: AsRef<Incoming>>(
        &mut self,
        packets: &'a [P],
        mut send: impl FnMut(&mut T, &mut dyn Iterator<Item = (&'a P, Outgoing)>),
    ) {
        let subscribers = self.subscribers.iter_mut().filter(|to| to.ready && !self.muted);
        for Subscriber { to, forwarder, .. } in subscribers {
            let copy = |packet: &'a P| Some((packet, forwarder.forward(packet.as_ref())?));
            send(to, &mut packets.iter().filter_map(copy));
        }
    }

    /// A packet was left out on purpose: the next that is sent follows on the last one without a gap.
    pub fn interrupt(&mut self) {
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.forwarder.interrupt());
    }

    /// A subscriber lost its picture (PLI, FIR): its layer should send a keyframe.
    pub fn keyframe_needed(&mut self, is: impl Fn(&T) -> bool) {
        let layer = self
            .subscribers
            .iter()
            .find(|subscriber| is(&subscriber.to))
            .and_then(|subscriber| subscriber.forwarder.layer().or(subscriber.forwarder.waits_for()));
        if let Some(layer) = layer {
            self.sources[asked(self.layering, layer).index()].keyframes.request();
        }
    }

    /// The layer that `subscriber` would get if there were bandwidth for everything; None: nothing, or muted.
    pub fn wanted(&self, subscriber: &Subscriber<T>) -> Option<Layer> {
        wanted(subscriber, self.layering, &self.sizes).filter(|_| self.video && !self.muted)
    }

    /// What each layer needs in bits per second: as measured, else as announced, else by its size. None: there is
    /// no such layer.
    pub fn rates(&mut self, now: MediaTime) -> [Option<u32>; 3] {
        let live = self.live(now);
        let nothing_known = self.sizes.iter().all(Option::is_none);
        let mut below = 0;
        Layer::ALL.map(|layer| {
            let index = layer.index();
            if self.layering == Layering::One && layer != Layer::Full {
                return None;
            }
            let measured = self.sources[index].rate.bps(now).filter(|_| live[index]);
            let measured = measured.map(|bits| bits.saturating_add(below));
            if self.layering == Layering::Spatial {
                below = measured.unwrap_or(below);
            }
            let by_size = self.sizes[index]
                .map(|size| size.width.saturating_mul(size.height).saturating_mul(BITS_PER_PIXEL));
            let likely = self.announced[index].or(by_size).filter(|bits| *bits > 0);
            measured.or(likely).or((nothing_known || live[index]).then_some(UNKNOWN_BPS[index]))
        })
    }

    fn live(&self, now: MediaTime) -> [bool; 3] {
        Layer::ALL
            .map(|layer| self.sources[layer.index()].seen.is_some_and(|at| now.since(at) < SILENT_AFTER))
    }

    /// Chooses everyone's layer anew from their wishes and from what arrives. Call it when a wish, a
    /// subscriber's readiness or the arriving layers changed, and every 100 ms or so.
    pub fn refresh(&mut self, now: MediaTime) {
        let live = self.live(now);
        let ask = self.asked.is_none_or(|at| now.since(at) >= ASK_AGAIN);
        for subscriber in &mut self.subscribers {
            let wanted = wanted(subscriber, self.layering, &self.sizes);
            let allowed = match self.layering {
                Layering::One => wanted,
                Layering::Simulcast | Layering::Spatial => wanted.map(|layer| layer.min(subscriber.ceiling)),
            };
            let flows = subscriber.ready && !subscriber.paused;
            let target = allowed.filter(|_| flows).map(|layer| layer::available(layer, live));
            let waited = subscriber.forwarder.waits_for();
            subscriber.forwarder.set_target(target);
            let Some(layer) = subscriber.forwarder.waits_for().filter(|_| self.video) else { continue };
            if ask || waited != Some(layer) {
                self.sources[asked(self.layering, layer).index()].keyframes.request();
                self.asked = Some(now);
            }
        }
    }

    /// The layers that the publisher must be asked for a keyframe now (at most one per 500 ms each; early
    /// requests are kept).
    pub fn take_keyframe_requests(&mut self, now: MediaTime) -> [bool; 3] {
        if !self.video {
            return [false; 3];
        }
        let mut live = self.live(now);
        if self.layering == Layering::Spatial {
            live = [live.contains(&true); 3];
        }
        Layer::ALL.map(|layer| live[layer.index()] && self.sources[layer.index()].keyframes.take(now))
    }

    /// What the publisher was told it may not have heard: the next [`Route::dynacast`] tells it again.
    pub fn tell_again(&mut self) {
        self.dynacast.tell_again();
    }

    /// Which layers to tell the publisher to send, smallest first; None when it knows already. Audio: None.
    ///
    /// A wanted layer that does not arrive keeps the smaller ones on, to have something to show.
    pub fn dynacast(&mut self, now: MediaTime) -> Option<[bool; 3]> {
        if !self.video {
            return None;
        }
        let live = self.live(now);
        let mut watched = [false; 3];
        for subscriber in &self.subscribers {
            let wanted = wanted(subscriber, self.layering, &self.sizes);
            let Some(wanted) = wanted.map(|layer| layer.min(subscriber.ceiling)) else {
                continue;
            };
            watched[wanted.index()] = true;
            if !live[wanted.index()] {
                watched[..wanted.index()].fill(true);
            }
        }
        if self.layering != Layering::Simulcast {
            watched = [watched.contains(&true); 3];
        }
        self.dynacast.update(watched, now)
    }
}

fn wanted<T>(subscriber: &Subscriber<T>, layering: Layering, sizes: &LayerSizes) -> Option<Layer> {
    match layering {
        Layering::One => (!subscriber.wish.disabled).then_some(Layer::Full),
        Layering::Simulcast | Layering::Spatial => subscriber.wish.layer(sizes),
    }
}

/// Of which layer a keyframe is asked for `layer`: all layers of one stream begin anew together.
fn asked(layering: Layering, layer: Layer) -> Layer {
    if layering == Layering::Spatial { Layer::Full } else { layer }
}
