"""The unmodified Python server SDK drives RoomService, and clients of the Python SDK see what it does.
usage: room_service.py <http url> <ws url> <token host> <token anna> <token bert> <token guest>
prints one line of JSON. The guest's token only asks to join; "-": no guest, for a server without a waiting room."""
import asyncio
import json
import sys
import time

import numpy as np
from livekit import api, rtc
from livekit.protocol import models, room as requests

from leaving import run

HTTP, WS, HOST, ANNA, BERT, GUEST = sys.argv[1:7]
KEY, SECRET = "devkey", "0123456789abcdef0123456789abcdef"
CAMERA = rtc.TrackSource.SOURCE_CAMERA


# What is seen on any LiveKit server.
EXPECTED = {
    "nobody": 0,
    "created": ["hall", 3, "a", 60, 1],
    "room metadata": "a",
    "people": ["anna", "bert", "host"],
    "tracks": ["bert's camera"],
    "mute": [True, "failed_precondition"],
    "not for bert": True,
    "rpc": ["hello you", "invalid_argument"],
    "elsewhere": "refused",
    "gone": [0, "not_found"],
}


async def until(what, condition, limit_s=15.0):
    for _ in range(int(limit_s * 20)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"never: {what}")


class Client:
    """A client and everything that it was told, as [event, ...]."""

    def __init__(self):
        self.room, self.told, self.pictures, self.last = rtc.Room(), [], 0, (0, 0.0)
        note = lambda *what: self.told.append(list(what))
        on = self.room.on
        on("participant_connected", lambda p: note("connected", p.identity))
        on("participant_disconnected", lambda p: note("disconnected", p.identity))
        on("participant_name_changed", lambda p, *_: note("name", p.identity, p.name))
        on("participant_metadata_changed", lambda p, *_: note("metadata", p.identity, p.metadata))
        on("participant_attributes_changed", lambda changed, p: note("attributes", p.identity, dict(changed)))
        on("participant_permissions_changed", lambda p, *_: note("permissions", p.identity))
        on("track_muted", lambda p, track: note("muted", p.identity, track.name))
        on("track_published", lambda track, p: note("published", p.identity, track.name))
        on("track_unpublished", lambda track, p: note("unpublished", p.identity, track.name))
        on("track_subscribed", lambda media, track, p: (note("subscribed", p.identity, track.name), self.watch(media)))
        on("data_received", lambda d: note("data", d.data.decode(), d.topic))
        on("room_metadata_changed", lambda _, now: note("room metadata", now))
        on("disconnected", lambda reason: note("out", reason))

    def watch(self, track):
        async def count():
            async for _ in rtc.VideoStream(track):
                self.pictures += 1

        asyncio.ensure_future(count())

    def sees_no_more(self):
        """No picture for two seconds; asked again and again."""
        now = time.monotonic()
        if self.last[0] != self.pictures:
            self.last = (self.pictures, now)
        return now - self.last[1] > 2

    async def heard(self, *what):
        await until(f"{what} in {self.told}", lambda: list(what) in self.told)

    def forget(self):
        self.told.clear()

    @property
    def others(self):
        return sorted(self.room.remote_participants)


async def joined(token):
    client = Client()
    await client.room.connect(WS, token)
    return client


async def camera(client, name):
    """Publishes a picture that moves until the task is cancelled."""
    source = rtc.VideoSource(320, 180)
    track = rtc.LocalVideoTrack.create_video_track(name, source)
    options = rtc.TrackPublishOptions(source=CAMERA, video_codec=rtc.VideoCodec.H264, simulcast=False)
    publication = await client.room.local_participant.publish_track(track, options)

    async def pictures():
        for n in range(100_000):
            frame = np.full((180, 320, 4), n % 256, np.uint8)
            source.capture_frame(rtc.VideoFrame(320, 180, rtc.VideoBufferType.RGBA, frame.tobytes()))
            await asyncio.sleep(1 / 15)

    return publication, asyncio.ensure_future(pictures())


async def refusal(call):
    try:
        await call
    except api.TwirpError as error:
        return error.code
    return None


async def waiting_room(rooms, host, anna, speaker, seen):
    """A guest asks to join a room that is full at first."""
    for client in (host, anna):
        client.forget()
    guest = await joined(GUEST)
    await host.heard("connected", "guest")
    own = guest.room.local_participant
    seen["waits"] = [own.attributes, guest.others, host.room.remote_participants["guest"].attributes]
    full = rooms.update_participant(api.UpdateParticipantRequest(room="hall", identity="guest", permission=speaker))
    seen["full"] = await refusal(full)
    await rooms.create_room(api.CreateRoomRequest(name="hall", max_participants=4))
    await rooms.update_participant(api.UpdateParticipantRequest(room="hall", identity="guest", permission=speaker))
    await anna.heard("connected", "guest")
    seen["unseen before"] = anna.told.count(["connected", "guest"])
    await guest.heard("subscribed", "bert", "on stage")
    seen["admitted"] = [own.attributes, guest.others]
    guest.camera = await camera(guest, "guest's camera")
    await anna.heard("subscribed", "guest", "guest's camera")
    return guest


async def main():
    seen = {}
    async with api.LiveKitAPI(HTTP, KEY, SECRET) as server:
        rooms = server.room
        nobody = await rooms.list_participants(api.ListParticipantsRequest(room="hall"))
        seen["nobody"] = len(nobody.participants)
        made = await rooms.create_room(api.CreateRoomRequest(name="hall", max_participants=3, metadata="a", empty_timeout=60))
        listed = await rooms.list_rooms(api.ListRoomsRequest(names=["hall"]))
        seen["created"] = [made.name, made.max_participants, made.metadata, made.empty_timeout, len(listed.rooms)]

        host, anna, bert = await joined(HOST), await joined(ANNA), await joined(BERT)
        seen["room metadata"] = bert.room.metadata
        publication, pictures = await camera(bert, "bert's camera")
        await anna.heard("subscribed", "bert", "bert's camera")
        people = await rooms.list_participants(api.ListParticipantsRequest(room="hall"))
        seen["people"] = sorted(p.identity for p in people.participants)
        one = await rooms.get_participant(api.RoomParticipantIdentity(room="hall", identity="bert"))
        seen["tracks"] = [t.name for t in one.tracks]
        of_bert = dict(room="hall", identity="bert")

        sid = publication.sid
        subscribe = lambda yes: rooms.update_subscriptions(api.UpdateSubscriptionsRequest(
            room="hall", identity="anna", track_sids=[sid], subscribe=yes))
        await until("pictures", lambda: anna.pictures > 10)
        await subscribe(False)
        await until("no more pictures", anna.sees_no_more)
        before = anna.pictures
        await subscribe(True)
        await until("pictures again", lambda: anna.pictures > before + 10)

        muted = await rooms.mute_published_track(api.MuteRoomTrackRequest(track_sid=sid, muted=True, **of_bert))
        await anna.heard("muted", "bert", "bert's camera")
        await bert.heard("muted", "bert", "bert's camera")
        unmute = rooms.mute_published_track(api.MuteRoomTrackRequest(track_sid=sid, muted=False, **of_bert))
        seen["mute"] = [muted.track.muted, await refusal(unmute)]

        await rooms.update_participant(api.UpdateParticipantRequest(
            name="Bert B.", metadata="m", attributes={"hand": "up"}, **of_bert))
        await anna.heard("name", "bert", "Bert B.")
        await anna.heard("metadata", "bert", "m")
        await anna.heard("attributes", "bert", {"hand": "up"})

        viewer = models.ParticipantPermission(can_subscribe=True, can_publish_data=True)
        await rooms.update_participant(api.UpdateParticipantRequest(permission=viewer, **of_bert))
        await anna.heard("unpublished", "bert", "bert's camera")
        await bert.heard("permissions", "bert")
        pictures.cancel()
        speaker = models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
        await rooms.update_participant(api.UpdateParticipantRequest(permission=speaker, **of_bert))
        await until("the permission", lambda: bert.told.count(["permissions", "bert"]) >= 2)
        _, pictures = await camera(bert, "on stage")
        await anna.heard("subscribed", "bert", "on stage")

        await rooms.send_data(api.SendDataRequest(
            room="hall", data=b"hello", kind=models.DataPacket.RELIABLE, destination_identities=["anna"], topic="t"))
        await rooms.send_data(api.SendDataRequest(room="hall", data=b"all", kind=models.DataPacket.RELIABLE))
        await anna.heard("data", "hello", "t")
        await bert.heard("data", "all", "")
        seen["not for bert"] = not any(told[:2] == ["data", "hello"] for told in bert.told)

        bert.room.local_participant.register_rpc_method("greet", lambda call: f"hello {call.payload}")
        admin = {"Authorization": f"Bearer {api.AccessToken(KEY, SECRET).with_grants(api.VideoGrants(room_admin=True, room='hall')).to_jwt()}"}
        call = requests.PerformRpcRequest(room="hall", destination_identity="bert", method="greet", payload="you")
        answer = await rooms._client.request("RoomService", "PerformRpc", call, admin, requests.PerformRpcResponse)
        call.method = "nothing"
        missing = rooms._client.request("RoomService", "PerformRpc", call, admin, requests.PerformRpcResponse)
        seen["rpc"] = [answer.payload, await refusal(missing)]

        there = dict(destination_room="other", **of_bert)
        forward = await refusal(rooms.forward_participant(api.ForwardParticipantRequest(**there)))
        move = await refusal(rooms.move_participant(api.MoveParticipantRequest(**there)))
        seen["elsewhere"] = "refused" if forward and move else [forward, move]

        await rooms.update_room_metadata(api.UpdateRoomMetadataRequest(room="hall", metadata="b"))
        await anna.heard("room metadata", "b")

        stays = [host, anna]
        if GUEST != "-":
            stays.append(await waiting_room(rooms, host, anna, speaker, seen))

        await rooms.remove_participant(api.RoomParticipantIdentity(**of_bert))
        await bert.heard("out", models.DisconnectReason.PARTICIPANT_REMOVED)
        await anna.heard("disconnected", "bert")
        await rooms.delete_room(api.DeleteRoomRequest(room="hall"))
        for client in stays:
            await client.heard("out", models.DisconnectReason.ROOM_DELETED)
        gone = await rooms.list_rooms(api.ListRoomsRequest())
        seen["gone"] = [len(gone.rooms), await refusal(rooms.delete_room(api.DeleteRoomRequest(room="hall")))]
        pictures.cancel()
    for what, wanted in EXPECTED.items():
        if seen[what] != wanted:
            raise SystemExit(f"{what}: {seen[what]} and not {wanted}")
    print(json.dumps(seen))


run(main)
