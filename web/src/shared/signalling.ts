/** How both pages speak to the room server. */

/**
 * Two peer connections over `/rtc`. With one, the library tries `/rtc/v1` first; where a
 * server answers 404 the browser writes the failed address, token and all, to its console.
 */
export const SIGNALLING = { singlePeerConnection: false } as const;
