/** The microphone's meter. */
import { byId, setText } from "../shared/dom";
import type { Box, Level } from "./state";
import { levelWords } from "./words";

/** What the meter's left end stands for, dBov. */
const QUIETEST = -60;

export class LevelMeter {
  private readonly meter = byId("level");
  private level: Level | undefined;

  constructor(private readonly box: Box) {}

  show(level: Level): void {
    this.level = level;
    this.render();
  }

  /** Without news from a microphone that runs there is no level to show. */
  render(): void {
    const { state, connected } = this.box;
    const microphone = state?.microphone;
    const level = connected && microphone?.status === "running" ? this.level : undefined;
    this.meter.hidden = !level;
    if (!level) return;
    const words = levelWords(level, microphone?.muted === true);
    this.meter.dataset.tone = words.tone;
    this.meter.setAttribute("aria-valuenow", String(Math.max(level.dbov, QUIETEST)));
    this.meter.setAttribute("aria-valuetext", words.text);
    setText(byId("level-text"), words.text);
    byId("level-now").style.transform = `scaleX(${share(level.dbov)})`;
    byId("level-peak").style.left = `calc(${share(level.peak_dbov)} * (100% - 2px))`;
  }
}

function share(dbov: number): number {
  return Math.min(1, Math.max(0, 1 - dbov / QUIETEST));
}
