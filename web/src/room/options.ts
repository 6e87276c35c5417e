/** How this page takes part in a room. */
import { VideoPresets, type ReconnectPolicy, type RoomOptions } from "livekit-client";
import { roomRetryDelayMs } from "../shared/retry";

const reconnectPolicy: ReconnectPolicy = {
  nextRetryDelayInMs: ({ retryCount, elapsedMs }) => roomRetryDelayMs(retryCount, elapsedMs, Math.random()),
};

/** Camera picture asked of the browser; three simulcast layers follow from its size. */
export const CAMERA = { resolution: VideoPresets.h720.resolution } as const;

export const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true } as const;

/** The room speaks H.264 and Opus only, and plain Opus without RED. */
export function roomOptions(): RoomOptions {
  return {
    adaptiveStream: true,
    dynacast: true,
    videoCaptureDefaults: CAMERA,
    audioCaptureDefaults: MICROPHONE,
    publishDefaults: {
      videoCodec: "h264",
      backupCodec: false,
      simulcast: true,
      videoEncoding: VideoPresets.h720.encoding,
      red: false,
      dtx: true,
    },
    reconnectPolicy,
  };
}
