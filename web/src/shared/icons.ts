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
  "signal-weak": "M5 19v-3M10 19v-6",
  "signal-lost": "M5 19v-3M13 8l7 7M20 8l-7 7",
  chat: "M5 5h14a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-7l-4.5 4v-4H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1ZM8 9.2h8M8 12.2h5",
  people: "M9 11.5a3.3 3.3 0 1 0 0-6.6 3.3 3.3 0 0 0 0 6.6ZM3 19c.4-3.2 2.8-5 6-5s5.6 1.8 6 5M15.5 5.2a3.2 3.2 0 0 1 0 6M17.5 14.3c2 .7 3.2 2.3 3.5 4.7",
  devices: "M4 8h9M17 8h3M4 16h3M11 16h9M15 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM9 18a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  grid: "M4.5 5h6v6h-6ZM13.5 5h6v6h-6ZM4.5 14h6v5h-6ZM13.5 14h6v5h-6Z",
  large: "M4 5h16v9H4ZM4 17.5h4M10 17.5h4M16 17.5h4",
  pin: "M9 4h6l-1 6 3 3H7l3-3-1-6ZM12 13v7",
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
