/** The state list, the record and the microphone button, and the notice for refusals. */
import { byId, element, setText } from "../shared/dom";
import { icon } from "../shared/icons";
import { BoxError, command } from "./api";
import type { Box } from "./state";
import { deviceWords, isLive, liveWords, onAirWords, recordingWords, roomWords, type Words } from "./words";

/** One request at a time per control: `pending` keeps its button disabled. */
export class Panel {
  private readonly record = byId<HTMLButtonElement>("record");
  private readonly microphone = byId<HTMLButtonElement>("microphone");
  private readonly notice = byId("notice");
  private readonly pending = new Set<string>();
  private lastConnected = Date.now();

  constructor(private readonly box: Box) {
    this.record.addEventListener("click", () => {
      const on = this.box.state?.recording?.on !== true;
      void this.run("recording.set", { on });
    });
    this.microphone.addEventListener("click", () => {
      const muted = this.box.state?.microphone?.muted !== true;
      void this.run("microphone.set", { muted });
    });
    byId("notice-close").addEventListener("click", () => this.say(""));
  }

  /** Shows a message until the next one; an empty one closes it. */
  say(message: string): void {
    setText(byId("notice-text"), message);
    this.notice.hidden = message === "";
  }

  isPending(name: string): boolean {
    return this.pending.has(name);
  }

  /** Sends a command; a refusal is shown in the box's own words. Returns whether it was done. */
  async run(name: string, parameters: Record<string, unknown>): Promise<boolean> {
    if (this.pending.has(name)) return false;
    this.pending.add(name);
    this.say("");
    this.render();
    try {
      await command(name, parameters);
      return true;
    } catch (error) {
      this.say(error instanceof BoxError ? error.message : String(error));
      return false;
    } finally {
      this.pending.delete(name);
      this.render();
    }
  }

  render(): void {
    const { state, connected } = this.box;
    byId("identify").hidden = state?.identifying !== true;
    const pill = byId("connection");
    pill.dataset.tone = connected ? "good" : state ? "bad" : "busy";
    setText(pill, connected ? "Connected" : state ? "Connection lost" : "Connecting…");
    document.body.classList.toggle("stale", !connected && state !== undefined);
    if (!state) return;
    // Without news the running time stands still: it is the last known one.
    if (connected) this.lastConnected = Date.now();
    const now = this.lastConnected + this.box.clockAheadMs;
    show("state-room", roomWords(state.room), state.room?.status ?? "none");
    const recording = state.recording?.on ? (state.recording.status ?? "on") : "off";
    show("state-recording", recordingWords(state.recording, now), recording);
    show("state-live", liveWords(state.live), state.live?.on ? "on" : "off");
    show("state-camera", deviceWords(state.camera), state.camera?.status ?? "unknown");
    show("state-microphone", deviceWords(state.microphone), state.microphone?.status ?? "unknown");
    show("state-speaker", deviceWords(state.speaker), state.speaker?.status ?? "unknown");
    const onAir = onAirWords(state);
    byId("on-air").hidden = onAir === undefined;
    setText(byId("on-air-text"), onAir ?? "");
    byId("picture-live").hidden = !isLive(state);
    const name = this.box.info?.name;
    if (name !== undefined) document.title = onAir ? `● ${onAir}: ${name}` : name;
    this.renderButtons(state.recording?.on === true, state.microphone?.muted === true);
  }

  private renderButtons(recording: boolean, muted: boolean): void {
    const { connected } = this.box;
    const recordBusy = this.pending.has("recording.set");
    this.record.disabled = !connected || recordBusy;
    this.record.setAttribute("aria-pressed", String(recording));
    this.record.dataset.state = recording ? "on" : "off";
    const label = recording ? "Stop recording" : "Start recording";
    setText(byId("record-label"), recordBusy ? (recording ? "Stopping…" : "Starting…") : label);
    byId("picture-recording").hidden = !recording;
    this.microphone.disabled = !connected || this.pending.has("microphone.set");
    this.microphone.setAttribute("aria-pressed", String(muted));
    this.microphone.dataset.state = muted ? "muted" : "on";
    setText(byId("microphone-label"), muted ? "Unmute microphone" : "Mute microphone");
    const wanted = muted ? "microphone-off" : "microphone";
    const holder = byId("microphone-icon");
    if (holder.dataset.icon !== wanted) {
      holder.dataset.icon = wanted;
      holder.replaceChildren(icon(wanted));
    }
  }
}

/** Puts words into a row of the list; `data-state` carries the box's own term. */
function show(id: string, words: Words, term: string): void {
  const row = byId(id);
  row.dataset.state = term;
  row.dataset.tone = words.tone;
  let text = row.querySelector<HTMLElement>(".text");
  let detail = row.querySelector<HTMLElement>(".detail");
  if (!text || !detail) {
    text = element("span", { class: "text" });
    detail = element("span", { class: "detail" });
    row.replaceChildren(text, detail);
  }
  setText(text, words.text);
  setText(detail, words.detail ?? "");
  detail.hidden = !words.detail;
}
