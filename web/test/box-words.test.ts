import { describe, expect, it } from "vitest";
import { NewestState, participantCount } from "../src/box/state";
import { destinationWords, deviceWords, levelWords, liveWords, onAirWords, recordingWords, roomWords, sentence } from "../src/box/words";

const START = Date.UTC(2025, 0, 1, 10, 0, 0);

describe("the box's state in words", () => {
  it("says which room and how many are in it", () => {
    expect(roomWords(null)).toEqual({ text: "Not in a room", tone: "off" });
    expect(roomWords({ name: "lobby", status: "joined", participants: 2 }).text).toBe("In lobby, 2 participants");
    expect(roomWords({ name: "lobby", status: "joined" }).text).toBe("In lobby");
    const away = roomWords({ name: "lobby", status: "backing_off", reason: "connection_refused" });
    expect(away).toEqual({ text: "Cannot reach lobby, will try again", detail: "Connection refused", tone: "bad" });
  });

  it("counts participants given as a number or a list", () => {
    expect(participantCount({ name: "a", status: "joined", participants: [1, 2, 3] })).toBe(3);
    expect(participantCount({ name: "a", status: "joined" })).toBeUndefined();
  });

  it("shows a recording's running time and size", () => {
    const recording = { on: true, started_at: "2025-01-01T10:00:00Z", bytes: 1_572_864, status: "recording" };
    expect(recordingWords(recording, START + 65_000)).toEqual({ text: "Recording 1:05, 1.5 MiB", tone: "good" });
    expect(recordingWords({ on: false }, START).text).toBe("Not recording");
    expect(recordingWords(undefined, START).text).toBe("Not recording");
  });

  it("warns when the storage is slow and goes on counting", () => {
    const words = recordingWords({ on: true, started_at: START, status: "storage_slow" }, START + 1000);
    expect(words.text).toBe("Recording 0:01");
    expect(words.tone).toBe("warn");
    expect(words.detail).toContain("Storage is slow");
  });

  it("tells a muted microphone from one that failed", () => {
    expect(deviceWords({ status: "running", device: "hw:1", muted: true })).toEqual({ text: "Muted", detail: "hw:1", tone: "warn" });
    expect(deviceWords({ status: "failed", reason: "unplugged" })).toEqual({ text: "Failed, trying again", detail: "Unplugged", tone: "bad" });
    expect(deviceWords(undefined).text).toBe("Unknown");
  });

  it("names the device beside why it failed", () => {
    const words = deviceWords({ status: "failed", device: "/dev/video0 (HD Webcam)", reason: "it is in use" });
    expect(words.detail).toBe("It is in use · /dev/video0 (HD Webcam)");
  });

  it("says how loud the microphone is by the last second's peak, and that nobody hears it while muted", () => {
    expect(levelWords({ dbov: -50, peak_dbov: -22 }, false)).toEqual({ text: "Good, -22 dB", tone: "good" });
    expect(levelWords({ dbov: -127, peak_dbov: -127 }, false)).toEqual({ text: "No sound", tone: "off" });
    expect(levelWords({ dbov: -9, peak_dbov: -2 }, false).tone).toBe("warn");
    expect(levelWords({ dbov: -30, peak_dbov: -30 }, true)).toEqual({ text: "Unheard, -30 dB", tone: "off" });
  });

  it("says that a full disk stopped the recording and why a write is tried again", () => {
    const full = recordingWords({ on: false, status: "disk_full", reason: "less than 1 GiB is left" }, START);
    expect(full).toEqual({ text: "Stopped: the disk is full", detail: "Less than 1 GiB is left", tone: "bad" });
    expect(recordingWords({ on: true, status: "retrying" }, START).tone).toBe("bad");
    expect(recordingWords({ on: false, reason: "no_camera" }, START)).toEqual({ text: "Not recording", detail: "No camera", tone: "bad" });
  });

  it("shows a status that it does not know instead of hiding it", () => {
    expect(deviceWords({ status: "warming_up" }).text).toBe("Warming up");
    expect(recordingWords({ on: true, status: "odd_thing" }, START).detail).toBe("Odd thing");
    expect(roomWords({ name: "x", status: "odd" }).text).toBe("x: Odd");
  });

  it("says to how many destinations the box is live", () => {
    expect(liveWords(undefined).text).toBe("Not live");
    const destinations = [
      { url: "rtmp://a", status: "live" },
      { url: "rtmp://b", status: "retrying", last_error: "refused" },
    ];
    expect(liveWords({ on: true, destinations })).toEqual({ text: "Live to 1 of 2 destinations", detail: "Refused", tone: "warn" });
  });

  it("says of each destination how it is, why, and when next", () => {
    const to = { url: "rtmp://a/live", status: "live", bytes_acked: 1_572_864 };
    expect(destinationWords(to, START)).toEqual({ text: "Live, 1.5 MiB", tone: "good" });
    const next = { next_try: "2025-01-01T10:00:20Z", last_error: "a:1935/live: cannot connect", bytes_acked: 0 };
    const words = destinationWords({ ...to, ...next, status: "retrying" }, START);
    expect(words).toEqual({ text: "Not live, next try in 0:20", detail: "A:1935/live: cannot connect", tone: "bad" });
    expect(destinationWords({ ...to, status: "stalled" }, START).tone).toBe("warn");
    expect(destinationWords({ ...to, status: "odd_thing" }, START).text).toBe("Odd thing");
  });

  it("makes a sentence of a code and leaves phrases alone", () => {
    expect(sentence("device_missing")).toBe("Device missing");
    expect(sentence("the disk /dev/sda_1 is full")).toBe("The disk /dev/sda_1 is full");
  });
});

describe("states that arrive in the wrong order", () => {
  it("are let through only when they are newer, until a new stream begins", () => {
    const newest = new NewestState();
    const state = (seq: number) => ({ seq, room: null });
    expect(newest.accept(state(5))).toBe(true);
    expect(newest.accept(state(4))).toBe(false);
    expect(newest.accept(state(5))).toBe(true);
    newest.restart();
    expect(newest.accept(state(1))).toBe(true);
  });
});

it("leaves nobody recorded or live without a sign", () => {
  const destinations = [{ url: "rtmp://a/live", status: "retrying" }];
  expect(onAirWords({ seq: 1, room: null })).toBeUndefined();
  expect(onAirWords({ seq: 1, room: null, recording: { on: false }, live: { on: false } })).toBeUndefined();
  expect(onAirWords({ seq: 1, room: null, recording: { on: true } })).toBe("Being recorded");
  expect(onAirWords({ seq: 1, room: null, live: { on: true, destinations } })).toBe("Going live");
  const live = { on: true, destinations: [...destinations, { url: "rtmp://b/live", status: "live" }] };
  expect(onAirWords({ seq: 1, room: null, recording: { on: true }, live })).toBe("Being recorded and live");
});
