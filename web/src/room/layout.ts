/** How tiles share a rectangle. Pure; lengths in CSS pixels. */

export interface Grid {
  columns: number;
  tileWidth: number;
  tileHeight: number;
}

/** The smallest tile that is still worth looking at; below it the grid scrolls. */
const MIN_TILE_WIDTH = 150;

/**
 * The columns that make `count` tiles of width:height `ratio` largest in a rectangle,
 * with `gap` between them and at least `minColumns` columns.
 */
export function fitGrid(
  count: number,
  width: number,
  height: number,
  gap: number,
  ratio = 16 / 9,
  minColumns = 1,
): Grid {
  let best: Grid = { columns: minColumns, tileWidth: 0, tileHeight: 0 };
  for (let columns = minColumns; columns <= Math.max(minColumns, count); columns += 1) {
    const rows = Math.ceil(Math.max(1, count) / columns);
    const byWidth = (width - gap * (columns - 1)) / columns;
    const byHeight = ((height - gap * (rows - 1)) / rows) * ratio;
    const tileWidth = Math.floor(Math.max(0, Math.min(byWidth, byHeight)));
    if (tileWidth > best.tileWidth) {
      best = { columns, tileWidth, tileHeight: Math.floor(tileWidth / ratio) };
    }
  }
  return best.tileWidth >= MIN_TILE_WIDTH ? best : scrollingGrid(width, gap, ratio);
}

function scrollingGrid(width: number, gap: number, ratio: number): Grid {
  const columns = Math.max(1, Math.floor((width + gap) / (MIN_TILE_WIDTH + gap)));
  const tileWidth = Math.max(1, Math.floor((width - gap * (columns - 1)) / columns));
  return { columns, tileWidth, tileHeight: Math.floor(tileWidth / ratio) };
}

/** The box first, then the others as they came, oneself last. */
export function tileOrder(
  a: { identity: string; local: boolean; joinedAtMs: number },
  b: { identity: string; local: boolean; joinedAtMs: number },
): number {
  if (a.local !== b.local) return a.local ? 1 : -1;
  const boxA = a.identity.startsWith("box-");
  const boxB = b.identity.startsWith("box-");
  if (boxA !== boxB) return boxA ? -1 : 1;
  return a.joinedAtMs - b.joinedAtMs || a.identity.localeCompare(b.identity);
}

/** Up to two letters that stand for a name while there is no picture. */
export function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter((word) => word !== "");
  const first = words[0] ?? "";
  const last = words.length > 1 ? (words[words.length - 1] ?? "") : "";
  const letters = `${[...first][0] ?? ""}${[...last][0] ?? ""}`.toUpperCase();
  return letters === "" ? "?" : letters;
}
