//! What the server says, and what is done about it.

use std::sync::Arc;

use super::super::machine::{Input, Leave};
use super::super::publish::MICROPHONE;
use super::super::receive::Source;
use super::super::roster::Change;
use super::super::{Event, open};
use super::{Session, SessionError, description, subscription};
use crate::rtc::peer::media_sources;
use crate::rtc::signal::proto::signal_request::Message as Request;
use crate::rtc::signal::proto::signal_response::Message as Response;
use crate::rtc::signal::proto::{
    MuteTrackRequest, ParticipantInfo, SessionDescription, SignalTarget, TrackPublishedResponse,
    TrickleRequest, request_response,
};

impl Session {
    /// Does what a message asks for.
    pub(super) async fn message(&mut self, message: Response) -> Result<Option<Input>, SessionError> {
        match message {
            Response::Offer(offer) => self.offered(offer).await?,
            Response::Answer(answer) => return self.answered(answer.sdp).await,
            Response::Trickle(trickle) => self.trickled(trickle).await?,
            Response::Update(update) => {
                let complete = std::mem::take(&mut self.full_update_due);
                return self.participants(&update.participants, complete).await;
            }
            Response::TrackPublished(TrackPublishedResponse { cid, track: Some(track) }) => {
                let differs = cid == MICROPHONE && track.muted != self.demand.audio_muted;
                self.published.insert(cid, track);
                if differs {
                    self.send_mute().await?;
                }
            }
            Response::Mute(mute) => self.muted_by_room(&mute).await?,
            Response::SubscribedQualityUpdate(update) => {
                self.demand.quality_update(&update);
                self.update_wants();
            }
            Response::SpeakersChanged(changed) => {
                let speakers = self.roster.speakers(&changed.speakers);
                (self.context.events)(Event::ActiveSpeakers(speakers));
            }
            Response::RefreshToken(token) => self.token = token,
            Response::PongResp(pong) => self.heartbeat.pong(pong),
            Response::Leave(request) => return Ok(Some(Input::Leave(open::leave(&request)))),
            Response::RequestResponse(response) if response.reason != request_response::Reason::Ok as i32 => {
                tracing::warn!(
                    reason = response.reason,
                    message = response.message,
                    "the server refused a request"
                );
            }
            other => tracing::trace!(?other, "not for us"),
        }
        Ok(None)
    }

    async fn offered(&mut self, offer: SessionDescription) -> Result<(), SessionError> {
        let sdp = self.subscriber.offer(offer.sdp.clone()).await?;
        let sources = media_sources(&offer.sdp).into_iter().map(|source| {
            let identity = self.roster.identity_of(&source.track, &source.stream);
            (source.ssrc, Source { identity, track_sid: source.track })
        });
        self.sources.send_replace(Arc::new(sources.collect()));
        let answer = description("answer", sdp, offer.id);
        self.described = Some((offer, answer.clone()));
        self.send(Request::Answer(answer)).await
    }

    async fn answered(&mut self, sdp: String) -> Result<Option<Input>, SessionError> {
        let Some(publisher) = &self.publisher else { return Ok(None) };
        let refused = video_refused(&sdp);
        publisher.answer(sdp).await?;
        if refused && self.context.config.video.is_some() {
            tracing::warn!("the room takes no H.264: the camera is not published");
            self.demand.video_muted = true;
            self.update_wants();
        }
        Ok(std::mem::take(&mut self.resuming).then_some(Input::Resumed))
    }

    async fn trickled(&mut self, trickle: TrickleRequest) -> Result<(), SessionError> {
        if trickle.candidate_init.is_empty() {
            return Ok(());
        }
        let added = match (SignalTarget::try_from(trickle.target), &self.publisher) {
            (Ok(SignalTarget::Publisher), Some(publisher)) => {
                publisher.add_candidate(&trickle.candidate_init).await
            }
            (Ok(SignalTarget::Subscriber), _) => self.subscriber.add_candidate(&trickle.candidate_init).await,
            _ => Ok(()),
        };
        // One path less; the others decide.
        if let Err(error) = added {
            tracing::warn!(%error, "candidate left out");
        }
        Ok(())
    }

    pub(super) async fn participants(
        &mut self,
        infos: &[ParticipantInfo],
        complete: bool,
    ) -> Result<Option<Input>, SessionError> {
        let Change { subscribe, unsubscribe, participants, can_publish } =
            self.roster.update(infos, complete);
        for (track_sids, on) in [(unsubscribe, false), (subscribe, true)] {
            if !track_sids.is_empty() {
                self.send(Request::Subscription(subscription(track_sids, on))).await?;
            }
        }
        if let Some(count) = participants {
            (self.context.events)(Event::ParticipantsChanged(count));
        }
        let config = &self.context.config;
        let let_in =
            can_publish == Some(true) && self.publisher.is_none() && (config.audio || config.video.is_some());
        Ok(let_in.then(|| Input::Leave(Leave::Reconnect("permission to publish given".into()))))
    }

    async fn muted_by_room(&mut self, mute: &MuteTrackRequest) -> Result<(), SessionError> {
        let cid = self.published.iter().find(|(_, track)| track.sid == mute.sid).map(|(cid, _)| cid.as_str());
        match cid {
            Some(MICROPHONE) if mute.muted && !self.demand.audio_muted => {
                self.set_muted(true).await?;
                (self.context.events)(Event::MutedByRoom);
            }
            // The people in the room own their microphone: nobody afar turns it on. Say so.
            Some(MICROPHONE) => self.send_mute().await?,
            Some(_) => {
                self.demand.video_muted = mute.muted;
                self.update_wants();
            }
            None => {}
        }
        Ok(())
    }
}

/// Whether an answer turned our picture down (port 0, RFC 3264 §6).
fn video_refused(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("m=video 0 "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_turned_down_is_noticed() {
        assert!(video_refused("v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 0\r\n"));
        assert!(!video_refused("m=audio 0 X 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 108\r\n"));
        assert!(!video_refused(""));
    }
}
