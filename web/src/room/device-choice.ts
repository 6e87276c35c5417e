/** Which devices there are to choose from. Pure. */

export type Kind = "audioinput" | "videoinput" | "audiooutput";

export const KIND_NAMES: Record<Kind, string> = {
  audioinput: "Microphone",
  videoinput: "Camera",
  audiooutput: "Speaker",
};

export interface Choice {
  id: string;
  label: string;
}

/** The devices of one kind; those that the browser does not name yet are numbered. */
export function choicesOf(devices: readonly { kind: string; deviceId: string; label: string }[], kind: Kind): Choice[] {
  const ofKind = devices.filter((device) => device.kind === kind && device.deviceId !== "");
  return ofKind.map((device, index) => ({
    id: device.deviceId,
    label: device.label || `${KIND_NAMES[kind]} ${index + 1}`,
  }));
}
