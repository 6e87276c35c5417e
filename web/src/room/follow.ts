/** Who is shown, and who is shown large. Pure: times come in, milliseconds of one clock. */

/** What the order of tiles needs to know of one. */
export interface Place {
  key: string;
  local: boolean;
  box: boolean;
  joinedAtMs: number;
}

/** The box first, then the others as they came, oneself last. */
export function tileOrder(a: Place, b: Place): number {
  if (a.local !== b.local) return a.local ? 1 : -1;
  if (a.box !== b.box) return a.box ? -1 : 1;
  return a.joinedAtMs - b.joinedAtMs || (a.key < b.key ? -1 : 1);
}

/** The order until now without those who are gone; newcomers stand where `tileOrder` has them among the last. */
export function merged(before: readonly string[], places: readonly Place[]): string[] {
  const byKey = new Map(places.map((place) => [place.key, place]));
  const order = before.filter((key) => byKey.has(key));
  for (const place of [...places].sort(tileOrder)) {
    if (order.includes(place.key)) continue;
    let at = place.box ? 0 : order.length;
    while (!place.local && at > 0 && byKey.get(order[at - 1] ?? "")?.local) at -= 1;
    order.splice(at, 0, place.key);
  }
  return order;
}

/**
 * Puts whoever spoke last among the first `visible` of `order`: each changes places with the one in sight who has
 * been silent longest, so that nobody else moves. Those in `keep` are never put out of sight. `spoke`: when each
 * spoke last; who never did is missing.
 */
export function inSight(
  order: readonly string[],
  visible: number,
  spoke: ReadonlyMap<string, number>,
  keep: ReadonlySet<string>,
): string[] {
  const out = [...order];
  const weight = (key: string) => (keep.has(key) ? Infinity : (spoke.get(key) ?? 0));
  const waiting = out.slice(visible).filter((key) => weight(key) > 0);
  waiting.sort((a, b) => weight(b) - weight(a));
  for (const key of waiting) {
    let silent = -1;
    for (let at = 0; at < Math.min(visible, out.length); at += 1) {
      const lightest = silent < 0 ? Infinity : weight(out[silent] ?? "");
      // The last of equals gives way.
      if (weight(out[at] ?? "") < Infinity && weight(out[at] ?? "") <= lightest) silent = at;
    }
    const given = out[silent];
    if (given === undefined || weight(given) >= weight(key)) break;
    out[out.indexOf(key)] = given;
    out[silent] = key;
  }
  return out;
}

/** What decides who is shown large. */
export interface Stage {
  /** Chosen by the reader; wins while it is there. */
  pinned: string | undefined;
  /** The others' shared screens, the newest last. */
  screens: readonly string[];
  /** The speaker is to be shown large, rather than everybody equally. */
  speakerView: boolean;
  /** The others who speak now, the loudest first. */
  speakers: readonly string[];
  /** Who was large until now. */
  before: string | undefined;
  /** Every tile in order. */
  all: readonly string[];
}

/** The main participant's tile: the pinned one, else the presenter's screen, else the speaker; undefined: all equal. */
export function mainTile(stage: Stage): string | undefined {
  const there = (key: string | undefined) => key !== undefined && stage.all.includes(key);
  if (there(stage.pinned)) return stage.pinned;
  const screen = stage.screens[stage.screens.length - 1];
  if (screen !== undefined) return screen;
  if (!stage.speakerView) return undefined;
  // While two speak at once the picture stays with the one it is on.
  if (there(stage.before) && stage.before !== undefined && stage.speakers.includes(stage.before)) return stage.before;
  const speaker = stage.speakers.find(there);
  if (speaker !== undefined) return speaker;
  return there(stage.before) ? stage.before : stage.all[0];
}
