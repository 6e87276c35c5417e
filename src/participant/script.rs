//! What a server says, read without a connection: for fuzzing.

use super::machine::{Input, Machine};
use super::publish::Demand;
use super::roster::Roster;
use super::{Config, TokenSource, open};
use crate::base::clock;
use crate::rtc::peer::media_sources;
use crate::rtc::signal::frame;
use crate::rtc::signal::proto::ParticipantInfo;
use crate::rtc::signal::proto::signal_response::Message as Response;

/// Who is there, who speaks, which layers are watched, whose sound an offer carries. `words` are frames with
/// `separator` between them; after each the machine's next deadline is there.
pub(crate) fn listen(words: &[u8], separator: &[u8]) {
    let config = Config {
        url: String::new(),
        room: "room".to_owned(),
        token: TokenSource::fixed(String::new()),
        extra_ca: None,
        video: None,
        audio: true,
        meter: Default::default(),
        attributes: tokio::sync::watch::channel(Default::default()).1,
    };
    let own = ParticipantInfo { sid: "PA_BOX".to_owned(), ..Default::default() };
    let (mut roster, mut demand) = (Roster::new(&own), Demand::new(&config, false));
    let (mut machine, mut now) = (Machine::new(7), clock::now());
    machine.handle(now, Input::Start);
    let mut rest = words;
    while !rest.is_empty() {
        let at = rest.windows(separator.len()).position(|window| window == separator);
        let (frame, after) = rest.split_at(at.unwrap_or(rest.len()));
        rest = after.get(separator.len()..).unwrap_or_default();
        now = machine.deadline().unwrap_or(now).max(now);
        let input = frame::decode_response(frame).map(|said| hear(said, &mut roster, &mut demand));
        machine.handle(now, input.unwrap_or(Input::Tick));
    }
}

fn hear(said: Response, roster: &mut Roster, demand: &mut Demand) -> Input {
    match said {
        Response::Update(update) => {
            let change = roster.update(&update.participants, update.participants.len() == 3);
            assert!(change.participants.is_none_or(|count| count > 0), "the box is always there");
            Input::Joined { publisher: true, subscriber: true }
        }
        Response::SpeakersChanged(changed) => {
            let _ = roster.speakers(&changed.speakers);
            Input::Resumed
        }
        Response::SubscribedQualityUpdate(update) => {
            demand.quality_update(&update);
            let _ = (demand.wants(), demand.wanted_video());
            Input::Tick
        }
        Response::Offer(offer) => {
            for source in media_sources(&offer.sdp) {
                let _ = roster.identity_of(&source.track, &source.stream);
            }
            Input::SignalLost("lost".to_owned())
        }
        Response::RefreshToken(token) => {
            let _ = open::expiry(&token);
            Input::Tick
        }
        Response::Leave(request) => Input::Leave(open::leave(&request)),
        _ => Input::Tick,
    }
}
