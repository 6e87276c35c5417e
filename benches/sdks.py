"""The unmodified SDKs (JS in Chromium, Python, Node) and a box in one room: what each sent and what each decoded of it.

usage: sdks.py ROOMD SECONDS [WIDTH HEIGHT FPS]     NODE_MODULES names the modules' folder
Starts ROOMD (a release build) on loopback with the test source in the room `lobby`. Each SDK publishes sound and
pictures of WIDTH x HEIGHT (640 x 360, 15 a second) and gets everybody's for SECONDS; the actors are those of
tests/sdks.rs. Prints one line a pair; fails when less than 98 % was decoded or a picture froze (WebRTC's freezeCount).
"""

import asyncio
import json
import os
import re
import socket
import sys
import tempfile
import time
from pathlib import Path

from livekit import api

from box_config import CONFIG

ROOMD, SECONDS = Path(sys.argv[1]), int(sys.argv[2])
WIDTH, HEIGHT, FPS = map(int, sys.argv[3:6] or (640, 360, 15))
TESTS = Path(__file__).resolve().parent.parent / "tests"
BOX_FPS, SHARE = 30, 0.98


class Actor:
    """A process that does what it is told (tests/interop/actor.py has the words)."""

    def __init__(self, name, *command):
        self.name, self.command = name, command

    async def join(self, url, token):
        pipes = dict(stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20)
        self.process = await asyncio.create_subprocess_exec(*self.command, url, token, **pipes)
        assert await self.answer() == "joined"

    async def answer(self):
        while line := await self.process.stdout.readline():
            # Libraries print, too.
            if line.startswith(b'{"answer":'):
                return json.loads(line)["answer"]
        raise RuntimeError(f"{self.name} has ended")

    async def tell(self, *words):
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        return await asyncio.wait_for(self.answer(), SECONDS * 2 + 60)

    async def leave(self):
        self.process.stdin.write(b'["quit"]\n')
        await self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def until(what, condition):
    for _ in range(200):
        if await condition():
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"never: {what}")


async def listens(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    except OSError:
        return False


def token(folder, identity):
    keys = (folder / "state/keys.toml").read_text()
    secret = re.search(r'^"?([\w-]+)"? = "([^"]+)"', keys, re.M).groups()
    grants = api.VideoGrants(room_join=True, room="lobby")
    return api.AccessToken(*secret).with_identity(identity).with_grants(grants).to_jwt()


async def everybody(actors, *words):
    return await asyncio.gather(*(actor.tell(*words) for actor in actors))


async def stats_at(actor):
    """Its counters, and when they were read."""
    return await actor.tell("stats"), time.monotonic()


async def measure(actors):
    """(who decoded, whose, sent, decoded, freezes) of every pair."""
    await everybody(actors, "publish", WIDTH, HEIGHT)
    seen = lambda stats: len(stats["frames"]) == len(actors) and all(stats["frames"].values())

    async def all_seen():
        await everybody(actors, "frames", FPS, FPS)
        return all(map(seen, await everybody(actors, "stats")))

    await until("everybody sees everybody", all_seen)
    # The estimates of bandwidth have settled by then.
    await everybody(actors, "frames", FPS * 5, FPS)
    await asyncio.sleep(1)
    before = await asyncio.gather(*map(stats_at, actors))
    await everybody(actors, "draw", FPS)
    # The pause was one of the pictures' own: freezes count from here.
    await asyncio.sleep(2)
    moving = await everybody(actors, "stats")
    await asyncio.sleep(SECONDS - 2)
    still_moving = await everybody(actors, "stats")
    await everybody(actors, "rest")
    await asyncio.sleep(1)
    after = await asyncio.gather(*map(stats_at, actors))
    sent = {actor.name: b["sent"] - a["sent"] for actor, (a, _), (b, _) in zip(actors, before, after)}
    box = next(iter(set(after[0][0]["frames"]) - set(sent)))
    for actor, (a, began), (b, ended), first, last in zip(actors, before, after, moving, still_moving):
        # The box never stops, so what it sent is known by the time only.
        sent[box] = round(BOX_FPS * (ended - began))
        for name in sorted(set(sent) - {actor.name}):
            decoded, freezes = b["frames"][name] - a["frames"][name], last["freezes"][name] - first["freezes"][name]
            yield actor.name, "box" if name == box else name, sent[name], decoded, freezes


async def main():
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "roomd.toml").write_text(CONFIG.format(dir=name, source="test", port=port))
        with (folder / "roomd.log").open("w") as log:
            box = await asyncio.create_subprocess_exec(ROOMD, "run", "--config", folder / "roomd.toml", stderr=log)
        actors = [
            Actor("js", "node", TESTS / "browser/actor.mjs"),
            Actor("node", "node", TESTS / "interop/actor.mjs"),
            Actor("python", sys.executable, TESTS / "interop/actor.py"),
        ]
        try:
            await until("the box listens", lambda: listens(port))
            scheme = lambda actor: "http" if actor.name == "js" else "ws"
            await asyncio.gather(*(
                actor.join(f"{scheme(actor)}://127.0.0.1:{port}", token(folder, actor.name)) for actor in actors
            ))
            pairs = [pair async for pair in measure(actors)]
            await asyncio.gather(*(actor.leave() for actor in actors))
        finally:
            box.terminate()
            await box.wait()
    print(f"{'by':8}{'of':8}{'sent':>7}{'decoded':>9}{'share':>9}{'freezes':>9}")
    for by, of, sent, decoded, freezes in pairs:
        print(f"{by:8}{of:8}{sent:7}{decoded:9}{decoded / sent:9.2%}{freezes:9}")
    load = os.getloadavg()[0]
    print(f"{SECONDS} s, {WIDTH}x{HEIGHT} at {FPS}, load average {load:.1f}")
    if any(decoded < sent * SHARE or freezes for _, _, sent, decoded, freezes in pairs):
        sys.exit(f"less than {SHARE:.0%} decoded, or a picture froze")


asyncio.run(main())
