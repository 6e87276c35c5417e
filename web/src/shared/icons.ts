/** Line icons, 24 x 24, drawn for these pages. */

const PATHS = {
  microphone: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  "microphone-off":
    "M9 9v2a3 3 0 0 0 4.6 2.5M15 10.5V6a3 3 0 0 0-5.8-1M5.5 11a6.5 6.5 0 0 0 10.4 5.2M18 13.3a6.4 6.4 0 0 0 .5-2.3M12 17.5V21M4 3l16 18",
  camera: "M4 7h9a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1ZM15 11l6-3.5v9L15 13",
  "camera-off": "M10 7h3a2 2 0 0 1 2 2v2l6-3.5v9l-3-1.7M15 15.2a2 2 0 0 1-2 1.8H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1h1M4 3l16 18",
  screen: "M4 5h16a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1ZM9 20h6M12 13V8M9.5 10.2 12 7.7l2.5 2.5",
  leave: "M15 4H6a1 1 0 0 0-1 1v14a1 1 0 0 0 1 1h9M10 12h10M17 8.5l3.5 3.5-3.5 3.5",
  speaker: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5H4ZM15.5 9a4 4 0 0 1 0 6M18 6.5a7.5 7.5 0 0 1 0 11",
  signal: "M5 19v-3M10 19v-6M15 19V9M20 19V5",
} as const;

export type IconName = keyof typeof PATHS;

const SVG = "http://www.w3.org/2000/svg";

/** One icon as an SVG element that screen readers skip. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
