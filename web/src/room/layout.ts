/** Where tiles stand in the stage. Pure; lengths in CSS pixels. */

export interface Rect {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Between two tiles. */
const GAP = 8;
/** The smallest tile that is still worth looking at. Who does not fit is out of sight (see follow.ts). */
const MIN_TILE_WIDTH = 110;
/** The column of small tiles beside a large one. */
const STRIP_MIN_WIDTH = 150;
const STRIP_MAX_WIDTH = 240;
const WIDE = 16 / 9;

/**
 * Rectangles for the first tiles of `count` in a stage, in their order; fewer than `count` where no more fit.
 * `large`: the first one is shown large and the others are small.
 */
export function arrange(count: number, width: number, height: number, large: boolean): Rect[] {
  if (count < 1 || width < 1 || height < 1) return [];
  if (height > width * 1.2 && (large || count > 2)) return stacked(count, width, height);
  return large && count > 1 ? besideLarge(count, width, height) : gridIn(count, 0, 0, width, height, WIDE, 1);
}

/** Held upright: the first one has the whole width, the others share what is below; all of it in the middle. */
function stacked(count: number, width: number, height: number): Rect[] {
  const first = { left: 0, top: 0, width, height: Math.floor(Math.min(width / WIDE, height)) };
  const top = first.height + GAP;
  const rest = gridIn(count - 1, 0, top, width, height - top, 1, count > 2 ? 2 : 1);
  // The others come in the middle of their place: drawn up to the first one, then all down by half of what is left.
  const up = (rest[0]?.top ?? top) - top;
  const below = Math.max(0, height - Math.max(first.height, ...rest.map((rect) => rect.top - up + rect.height)));
  const down = Math.floor(below / 2);
  return [first, ...rest.map((rect) => ({ ...rect, top: rect.top - up }))].map((rect) => ({ ...rect, top: rect.top + down }));
}

function besideLarge(count: number, width: number, height: number): Rect[] {
  const strip = Math.floor(Math.min(STRIP_MAX_WIDTH, Math.max(STRIP_MIN_WIDTH, width * 0.18)));
  const left = width - strip;
  const first = { left: 0, top: 0, width: left - GAP, height };
  const tile = Math.floor(strip / WIDE);
  const fitting = Math.max(1, Math.floor((height + GAP) / (tile + GAP)));
  return [first, ...gridIn(Math.min(count - 1, fitting), left, 0, strip, height, WIDE, 1)];
}

/** Equal tiles of width:height `ratio`, as large as they can be, in the middle; the last row too. */
function gridIn(
  count: number,
  left: number,
  top: number,
  width: number,
  height: number,
  ratio: number,
  minColumns: number,
): Rect[] {
  if (count < 1 || width < 1 || height < 1) return [];
  const { columns, tileWidth, tileHeight } = fitGrid(count, width, height, ratio, minColumns);
  const fitting = Math.max(1, columns * Math.max(1, Math.floor((height + GAP) / (tileHeight + GAP))));
  const shown = Math.min(count, fitting);
  const rows = Math.ceil(shown / columns);
  const above = top + Math.max(0, Math.floor((height - rows * (tileHeight + GAP) + GAP) / 2));
  return Array.from({ length: shown }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, shown - row * columns);
    const before = left + Math.max(0, Math.floor((width - inRow * (tileWidth + GAP) + GAP) / 2));
    return {
      left: before + (index % columns) * (tileWidth + GAP),
      top: above + row * (tileHeight + GAP),
      width: tileWidth,
      height: tileHeight,
    };
  });
}

interface Grid {
  columns: number;
  tileWidth: number;
  tileHeight: number;
}

/** The columns that make the tiles largest; the smallest tiles where they would be smaller than that. */
function fitGrid(count: number, width: number, height: number, ratio: number, minColumns: number): Grid {
  let best = ofWidth(minColumns, 0, ratio);
  for (let columns = minColumns; columns <= Math.max(minColumns, count); columns += 1) {
    const rows = Math.ceil(count / columns);
    const byWidth = (width - GAP * (columns - 1)) / columns;
    const byHeight = ((height - GAP * (rows - 1)) / rows) * ratio;
    const tileWidth = Math.floor(Math.min(byWidth, byHeight));
    if (tileWidth > best.tileWidth) best = ofWidth(columns, tileWidth, ratio);
  }
  if (best.tileWidth >= MIN_TILE_WIDTH) return best;
  const columns = Math.max(1, Math.floor((width + GAP) / (MIN_TILE_WIDTH + GAP)));
  return ofWidth(columns, Math.max(1, Math.floor((width - GAP * (columns - 1)) / columns)), ratio);
}

function ofWidth(columns: number, tileWidth: number, ratio: number): Grid {
  return { columns, tileWidth, tileHeight: Math.max(1, Math.floor(tileWidth / ratio)) };
}

/** Up to two letters that stand for a name while there is no picture. */
export function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter((word) => word !== "");
  const first = words[0] ?? "";
  const last = words.length > 1 ? (words[words.length - 1] ?? "") : "";
  const letters = `${[...first][0] ?? ""}${[...last][0] ?? ""}`.toUpperCase();
  return letters === "" ? "?" : letters;
}
