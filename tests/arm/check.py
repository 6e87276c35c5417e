"""Judges on the host what a scenario of the emulated board has brought back: order and survival, never times.

    check.py SCENARIO RESULTS      exit 1 and a line for what does not convince
    check.py tone FILE             makes the sound that is played into the board's card
"""

import array
import itertools
import json
import math
import pathlib
import subprocess
import sys
import wave

# What the card is fed with, and the beep of roomd's test sound: Hz.
TONE = 440
BEEP = 1000
# Samples a second of sound that is looked at, and of one window of it (50 ms: half a beep).
RATE = 8000
WINDOW = RATE // 20
# Pictures are looked at this small.
WIDTH, HEIGHT = 64, 36
# vivid's test picture: eight bars, as whether red, green and blue are lit.
BARS = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]


class Unconvincing(Exception):
    """The evidence does not show what it should."""


def must(convincing, what):
    if not convincing:
        raise Unconvincing(what)
    print(f"ok: {what}")


def run(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise Unconvincing(f"{command[0]}: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def make_tone(path):
    """Thirty seconds at 44.1 kHz: another rate than the box's own."""
    rate = 44_100
    samples = array.array("h")
    for n in range(30 * rate):
        sample = round(8000 * math.sin(2 * math.pi * TONE * n / rate))
        samples.extend((sample, sample))
    with wave.open(path, "wb") as file:
        file.setparams((2, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def recording(results):
    """The one file, which must be whole."""
    files = sorted(results.glob("*.mp4"))
    must(len(files) == 1, f"one file: {[file.name for file in files]}")
    return whole(files[0])


def whole(file):
    """The file: H.264 and AAC, decoded without an error, time going on."""
    probe = run("ffprobe", "-v", "error", "-show_streams", "-of", "json", file)
    streams = {stream["codec_type"]: stream for stream in json.loads(probe)["streams"]}
    codecs = [streams.get(kind, {}).get("codec_name") for kind in ("video", "audio")]
    must(codecs == ["h264", "aac"], f"codecs {codecs}")
    run("ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "null", "-")
    must(True, "it decodes without an error")
    times = run("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0", file)
    times = [float(line.rstrip(",")) for line in times.decode().split()]
    must(times == sorted(set(times)), f"{len(times)} pictures, each later than the one before")
    return file


def pictures(file):
    """What each picture is: `vivid`, `slate` or `other`."""
    scale = f"scale={WIDTH}:{HEIGHT}:flags=area"
    raw = run("ffmpeg", "-v", "error", "-i", file, "-vf", scale, "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-f", "rawvideo", "-")
    size = WIDTH * HEIGHT * 3
    return [picture(raw[at : at + size]) for at in range(0, len(raw), size)]


def picture(rgb):
    def lit(x, y):
        at = (y * WIDTH + x) * 3
        return tuple(int(value > 96) for value in rgb[at : at + 3])

    # At the bottom: the driver writes its settings over the rest.
    row = HEIGHT - 3
    bars = [lit((2 * bar + 1) * WIDTH // 16, row) for bar in range(8)]
    if bars == BARS:
        return "vivid"
    colour = sum(max(rgb[at : at + 3]) - min(rgb[at : at + 3]) for at in range(0, len(rgb), 3))
    return "slate" if colour / (WIDTH * HEIGHT) < 40 and max(rgb) - min(rgb) > 30 else "other"


def sound(file):
    """Its samples, mono."""
    raw = run("ffmpeg", "-v", "error", "-i", file, "-map", "0:a", "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-")
    return array.array("h", raw)


def windows(samples, hertz):
    """For each window: `tone` (most of it is the tone), `silence` or `other`."""
    return [window(samples[at : at + WINDOW], hertz) for at in range(0, len(samples) - WINDOW + 1, WINDOW)]


def window(samples, hertz):
    power = sum(sample * sample for sample in samples) / len(samples)
    if power < 20 * 20:
        return "silence"
    turn = 2 * math.pi * hertz / RATE
    real = sum(sample * math.cos(turn * n) for n, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(turn * n) for n, sample in enumerate(samples))
    of_tone = 2 * (real * real + imaginary * imaginary) / len(samples) ** 2
    return "tone" if of_tone > power / 2 else "other"


def order(labels, wanted, least=3):
    """What comes after what, each at least so often in a row; what is not among `wanted` is left out."""
    seen, run_of = [], 0
    for index, label in enumerate(labels):
        run_of = run_of + 1 if index and label == labels[index - 1] else 1
        if label in wanted and run_of == least and (not seen or seen[-1] != label):
            seen.append(label)
    return seen


def statuses(results, name, device):
    """Each status that the device had, in order, with the reason."""
    seen = []
    for line in (results / f"{name}.states").read_text().splitlines():
        now = json.loads(line).get(device)
        if now is None:  # The last line: the box has hung up.
            continue
        now = (now["status"], now.get("reason"))
        if not seen or seen[-1] != now:
            seen.append(now)
    return seen


def lost_and_back(results, device):
    """Running, failed with a reason, running."""
    seen = statuses(results, "box", device)
    names = [status for status, _ in seen]
    first = names.index("running")
    must("failed" in names[first:], f"{device}: {seen}")
    lost = names.index("failed", first)
    must("running" in names[lost:], "it failed and ran again")
    reason = seen[lost][1]
    must(reason, f"with a reason: {reason}")


def no_panic(results):
    logs = "".join(file.read_text(errors="replace") for file in results.glob("*.log"))
    must("panicked at" not in logs and "panic:" not in logs, "no panic in any log")


def camera_lost(results, least):
    """The camera, at least so many slates, the camera; and the microphone all the time."""
    lost_and_back(results, "camera")
    file = recording(results)
    seen = order(pictures(file), ("vivid", "slate"), least)
    must(seen == ["vivid", "slate", "vivid"], f"the pictures show {seen}")
    labels = windows(sound(file), BEEP)
    silent = labels.count("silence")
    must(labels.count("tone") >= 5, f"{labels.count('tone')} beeps of the microphone in {len(labels) / 20} s, {silent} windows silent")


def capture(results):
    file = recording(results)
    seen = pictures(file)
    must(seen.count("vivid") >= 20, f"{seen.count('vivid')} of {len(seen)} pictures are the camera's")
    must(order(seen, ("vivid", "slate")) == ["vivid"], "and no slate among them")
    labels = windows(sound(file), TONE)
    tone, other = labels.count("tone"), labels.count("other")
    # A machine that is held up loses sound; what it does not lose is the tone.
    must(tone > 40 and tone > other, f"{tone} of {len(labels)} windows of sound are the tone, {other} are something else")


def card(results):
    lost_and_back(results, "microphone")
    lost_and_back(results, "speaker")
    file = recording(results)
    labels = windows(sound(file), TONE)
    longest = max(len(list(run)) if label == "silence" else 0 for label, run in itertools.groupby(labels))
    text = "".join("_" if label == "silence" else "t" if label == "tone" else "." for label in labels)
    before, _, after = text.partition("_" * longest)
    must(longest > 40, f"silence for {longest / 20} s while the card was away: {text}")
    must(before.count("t") > 20 and after.count("t") > 20, "the tone before and after it")


def playback(results):
    labels = windows(sound(results / "heard.wav"), BEEP)
    must(labels.count("tone") >= 3, f"{labels.count('tone')} beeps heard in {len(labels) / 20} s")
    must(labels.count("other") > len(labels) / 4, "and the voice between them")


def service(results):
    unit = dict(line.split("=", 1) for line in (results / "unit").read_text().splitlines() if "=" in line)
    must(unit["NRestarts"] == "1", f"restarted once: NRestarts={unit['NRestarts']}")
    must("watchdog" in (results / "journal.log").read_text().lower(), "by the watchdog")
    files = sorted(results.glob("*.mp4"))
    must(len(files) == 2, f"two files: {[file.name for file in files]}")
    for file in files:
        whole(file)
        must(pictures(file).count("vivid") >= 10, "with the camera's pictures")


SCENARIOS = {
    "capture": capture,
    "unplug": lambda results: camera_lost(results, 3),
    "eio": lambda results: camera_lost(results, 1),
    "disconnect": lambda results: camera_lost(results, 1),
    "card": card,
    "playback": playback,
    "service": service,
}

if __name__ == "__main__":
    name, path = sys.argv[1:]
    if name == "tone":
        make_tone(path)
        sys.exit()
    try:
        no_panic(pathlib.Path(path))
        SCENARIOS[name](pathlib.Path(path))
    except Unconvincing as why:
        sys.exit(f"FAILED: {why}")
