import { describe, expect, it } from "vitest";
import { choicesOf } from "../src/room/device-choice";
import { levelOf } from "../src/room/meter";

describe("devices to choose from", () => {
  const devices = [
    { kind: "audioinput", deviceId: "default", label: "Default" },
    { kind: "audioinput", deviceId: "7f", label: "" },
    { kind: "videoinput", deviceId: "c", label: "Webcam" },
    { kind: "audiooutput", deviceId: "", label: "" },
  ];

  it("are those of the kind, numbered where the browser gives no name", () => {
    expect(choicesOf(devices, "audioinput")).toEqual([
      { id: "default", label: "Default" },
      { id: "7f", label: "Microphone 2" },
    ]);
    expect(choicesOf(devices, "videoinput")).toEqual([{ id: "c", label: "Webcam" }]);
  });

  it("are none before the browser was asked for devices", () => {
    expect(choicesOf(devices, "audiooutput")).toEqual([]);
  });
});

describe("the level of a microphone", () => {
  it("goes from nothing to full", () => {
    expect(levelOf(new Float32Array(100))).toBe(0);
    expect(levelOf(new Float32Array(0))).toBe(0);
    expect(levelOf(new Float32Array(100).fill(1))).toBe(100);
    const speech = levelOf(new Float32Array(100).fill(0.05));
    expect(speech).toBeGreaterThan(40);
    expect(speech).toBeLessThan(80);
  });
});
