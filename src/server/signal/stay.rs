//! A participant whose client speaks no signalling of ours: the server says for it what there is to say (WHIP, WHEP).

use std::collections::HashMap;
use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Response;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::message::{Join, OUT_CAPACITY, Out, Request, Ticket};
use super::{Handle, PROTOCOL};
use crate::room::{Grant, Refusal};

/// The engine answers an offer at once; this long only if it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Somebody who comes with an offer.
#[derive(Clone, Debug)]
pub(in crate::server) struct Entry {
    /// What it may do.
    pub grant: Grant,
    /// The tracks that its offer carries.
    pub tracks: Vec<proto::AddTrackRequest>,
    /// It watches whatever stands out in the room.
    pub watches: bool,
    /// Its SDP.
    pub offer: String,
}

/// Why an offer has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(in crate::server) enum StayError {
    /// It may not come in.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The offer, or a track of it, is not accepted.
    #[error("{0}")]
    Offer(String),
    /// It is not in the room any more.
    #[error("the stay has ended")]
    Ended,
    /// The room server is not itself.
    #[error("the room server did not answer within 5 s")]
    Timeout,
}

/// A participant in a room. It is out when [`Stay::leave`] was called, or a while after this was dropped.
#[derive(Debug)]
pub(in crate::server) struct Stay {
    ticket: Ticket,
    requests: mpsc::Sender<Request>,
    messages: mpsc::Receiver<Out>,
}

impl Handle {
    /// Lets somebody in and answers its offer.
    ///
    /// # Errors
    /// [`StayError`]; it is not in the room then.
    pub(in crate::server) async fn enter(&self, entry: Entry) -> Result<(Stay, String), StayError> {
        let Entry { grant, tracks, watches, offer } = entry;
        let (out, messages) = mpsc::channel(OUT_CAPACITY);
        let (reply, admitted) = oneshot::channel();
        let join = Join {
            room: grant.room.clone(),
            grant,
            protocol: PROTOCOL,
            auto_subscribe: false,
            attributes: HashMap::new(),
            resume: None,
            single: true,
            watches,
            first: tracks.into_iter().map(Said::AddTrack).chain([said(offer)]).collect(),
            out,
            reply,
        };
        let requests = self.join(join).await?;
        let ticket = admitted.await.map_err(|_| Refusal::Stopping)??;
        let mut stay = Stay { ticket, requests, messages };
        match stay.answer().await {
            Ok(answer) => Ok((stay, answer)),
            Err(error) => {
                stay.leave().await;
                Err(error)
            }
        }
    }
}

fn said(sdp: String) -> Said {
    Said::Offer(proto::SessionDescription { r#type: "offer".to_owned(), sdp, ..Default::default() })
}

impl Stay {
    /// Offers once more, and waits for the answer.
    ///
    /// # Errors
    /// [`StayError`]; the participant is out of the room then.
    pub(in crate::server) async fn offer(&mut self, sdp: String) -> Result<String, StayError> {
        let request = Box::new(proto::SignalRequest { message: Some(said(sdp)) });
        let sent = self.requests.send(Request::Signal(self.ticket, request)).await;
        sent.map_err(|_| StayError::Ended)?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<String, StayError> {
        let answer = async {
            loop {
                match self.next().await {
                    Some(Response::Answer(answer)) => return Ok(answer.sdp),
                    // Nothing else is asked for but tracks and the offer.
                    Some(Response::RequestResponse(refused)) => {
                        return Err(StayError::Offer(refused.message));
                    }
                    Some(_) => {}
                    None => return Err(StayError::Ended),
                }
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap_or(Err(StayError::Timeout))
    }

    /// Returns when the participant is out of the room.
    pub(in crate::server) async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }

    /// The next message; None: it is out.
    async fn next(&mut self) -> Option<Response> {
        loop {
            match self.messages.recv().await? {
                Out::Message(message) => match message.message {
                    Some(Response::Leave(_)) => return None,
                    Some(message) => return Some(message),
                    None => {}
                },
                // It is given no tokens.
                Out::Granted(_) => {}
                Out::Close => return None,
            }
        }
    }

    /// Takes it out of the room, if it is still in.
    pub(in crate::server) async fn leave(mut self) {
        let message = Some(Said::Leave(proto::LeaveRequest::default()));
        let request = Request::Signal(self.ticket, Box::new(proto::SignalRequest { message }));
        // Nobody takes it: the server stops, and it is out.
        if self.requests.send(request).await.is_ok() {
            let _ = tokio::time::timeout(ANSWER_TIMEOUT, self.ended()).await;
        }
    }
}
