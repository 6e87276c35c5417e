/** Waiting times between attempts. Pure: randomness comes in as an argument. */

/**
 * Milliseconds to wait before attempt `attempt` (0 = the first retry): doubles from
 * `firstMs` to at most `maxMs`, of which `random` (0..1) takes away up to a quarter,
 * so that many pages do not return at the same instant.
 */
export function retryDelayMs(attempt: number, firstMs: number, maxMs: number, random: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
  return Math.round(full * (1 - random / 4));
}

/** How long a guest's page tries to come back to a room before it gives up. */
export const ROOM_RETRY_LIMIT_MS = 120_000;

/** Delay before the next attempt to come back to a room, or null to give up. */
export function roomRetryDelayMs(attempt: number, elapsedMs: number, random: number): number | null {
  if (elapsedMs >= ROOM_RETRY_LIMIT_MS) return null;
  return attempt === 0 ? 0 : retryDelayMs(attempt - 1, 300, 5000, random);
}
