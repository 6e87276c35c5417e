/** The list of recordings, newest first, and the player. */
import { byId, element, setText } from "../shared/dom";
import { formatBytes, formatDuration, formatMoment, parseTime } from "../shared/format";
import { BoxError, getRecordings, recordingFile } from "./api";
import type { RecordingEntry } from "./state";
import { sentence } from "./words";

/** Statuses that need no word beside an entry. */
const FINISHED = new Set(["finished", "completed", "complete", "done", "ok", "stopped"]);

export class Recordings {
  private readonly list = byId("recordings");
  private readonly empty = byId("recordings-empty");
  private readonly player = byId<HTMLDialogElement>("player");
  private readonly video = byId<HTMLVideoElement>("player-video");
  /** The newest request wins, whatever order the answers come in. */
  private request = 0;

  constructor() {
    byId("refresh-recordings").addEventListener("click", () => void this.refresh());
    byId("player-close").addEventListener("click", () => this.player.close());
    this.player.addEventListener("close", () => {
      this.video.pause();
      this.video.removeAttribute("src");
      this.video.load();
    });
  }

  async refresh(): Promise<void> {
    const request = ++this.request;
    try {
      const entries = await getRecordings();
      if (request !== this.request) return;
      this.list.replaceChildren(...entries.map((entry) => this.row(entry)));
      setText(this.empty, "None yet. Press “Start recording” to make the first.");
      this.empty.hidden = entries.length > 0;
    } catch (error) {
      if (request !== this.request) return;
      setText(this.empty, error instanceof BoxError ? error.message : String(error));
      this.empty.hidden = false;
    }
  }

  private row(entry: RecordingEntry): HTMLElement {
    const started = parseTime(entry.started_at);
    const title = started === undefined ? entry.id : formatMoment(started);
    const facts = [
      entry.duration_ms === undefined ? "" : formatDuration(entry.duration_ms),
      entry.bytes === undefined ? "" : formatBytes(entry.bytes),
      entry.room ?? "",
      entry.status === undefined || FINISHED.has(entry.status) ? "" : sentence(entry.status),
    ];
    const play = element("button", { type: "button", "aria-label": `Play ${title}` }, "Play");
    play.addEventListener("click", () => this.play(entry, title));
    const download = element(
      "a",
      { class: "button", href: recordingFile(entry.id), download: fileName(entry), "aria-label": `Download ${title}` },
      "Download",
    );
    const what = element(
      "div",
      {},
      element("strong", {}, title),
      element("span", { class: "quiet" }, facts.filter((fact) => fact !== "").join(" · ")),
    );
    const actions = element("span", { class: "row" }, play, download);
    return element("li", { "data-testid": `recording-${entry.id}` }, what, actions);
  }

  private play(entry: RecordingEntry, title: string): void {
    setText(byId("player-title"), title);
    this.video.src = recordingFile(entry.id);
    this.player.showModal();
    void this.video.play().catch(() => undefined);
  }
}

function fileName(entry: RecordingEntry): string {
  return entry.file?.split("/").pop() || `${entry.id}.mp4`;
}
