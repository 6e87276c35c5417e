//! The m-sections of a subscriber's connection, and its data channels.

use str0m::Rtc;
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::media::Mid;

use super::subscriber::Wanted;

/// One m-section of the connection. Sections are never removed from an SDP, so they are used again.
#[derive(Debug)]
pub(super) struct Slot {
    pub mid: Mid,
    pub video: bool,
    pub state: SlotState,
    /// What it carries, or is about to.
    pub wanted: Option<Wanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    /// In a pending offer for the first time.
    Adding,
    /// Inactive until the pending offer is answered.
    Reviving,
    /// Negotiated and carrying.
    Active,
    /// To be inactive when the pending offer is answered.
    Removing,
    /// Inactive, free.
    Idle,
}

/// The channels for data messages to the client, open once the client says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// `_reliable`.
    pub reliable: Option<ChannelId>,
    /// `_lossy`.
    pub lossy: Option<ChannelId>,
}

/// A stream that was used for another track is exchanged for a new one, so that nothing of the old is mixed in.
///
/// Not by the library's `reset_stream_tx`: that leaves the stream under its old SSRC in the library's table, and
/// neither packets nor the receiver's NACKs and PLIs find it any more (str0m 0.25, streams/mod.rs).
pub(super) fn renew_stream(rtc: &mut Rtc, mid: Mid, video: bool) {
    let mut api = rtc.direct_api();
    if let Some(old) = api.stream_tx_by_mid(mid, None).map(|stream| stream.ssrc()) {
        api.remove_stream_tx(old);
    }
    let ssrc = api.new_ssrc();
    let rtx = video.then(|| {
        loop {
            let rtx = api.new_ssrc();
            if rtx != ssrc {
                break rtx;
            }
        }
    });
    // The media exists: it is one of our slots, answered before.
    api.declare_stream_tx(ssrc, rtx, mid, None);
}

/// The channels of every subscriber; the first offer carries their m-section.
pub(super) fn add_channels(api: &mut str0m::change::SdpApi<'_>) -> Channels {
    let lossy = || ChannelConfig {
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        ..Default::default()
    };
    let reliable = api.add_channel_with_config(ChannelConfig {
        label: "_reliable".to_owned(),
        ordered: true,
        ..Default::default()
    });
    let unreliable = api.add_channel_with_config(ChannelConfig { label: "_lossy".to_owned(), ..lossy() });
    let channels = Channels { reliable: Some(reliable), lossy: Some(unreliable) };
    api.add_channel_with_config(ChannelConfig { label: "_data_track".to_owned(), ..lossy() });
    channels
}
