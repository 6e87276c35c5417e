/** One tile: a camera or a shared screen, and what is to be said of it. */
import { Track } from "livekit-client";
import { element, setText } from "../shared/dom";
import { icon } from "../shared/icons";
import { initials, type Rect } from "./layout";
import type { Person } from "./people";

/** What a tile shows besides its picture. */
export interface Look {
  label: string;
  letters: string;
  /** Read out after the label. */
  remarks: string[];
  silent: boolean;
  speaking: boolean;
  connection: Person["connection"];
  /** Stands over the picture; empty: nothing. */
  note: string;
  mine: boolean;
  screen: boolean;
  box: boolean;
  pinned: boolean;
}

/** A camera that has given no new picture for so long has stopped, whatever else is said of its connection. */
const STOPPED_MS = 3000;

export class Tile {
  readonly root: HTMLElement;
  private readonly video = element("video", { playsinline: true, autoplay: true, "aria-hidden": "true" });
  private readonly name = element("span", { class: "tile-name", dir: "auto" });
  private readonly letters = element("span", { class: "tile-letters", "aria-hidden": "true" });
  private readonly muted = element("span", { class: "tile-muted", title: "Microphone off" }, icon("microphone-off"));
  private readonly weak = element("span", { class: "tile-weak", title: "Weak connection" }, icon("signal-weak"));
  private readonly note = element("p", { class: "tile-note" });
  private readonly pin = element("button", { type: "button", class: "tile-pin" }, icon("pin"));
  private track: Track | undefined;
  private said = "";
  private stopped = false;
  private pictures = 0;
  /** When the last new picture was seen, by the page's clock; undefined: none is to be expected. */
  private pictureAt: number | undefined;

  constructor(testId: string, onPin: () => void) {
    this.video.muted = true;
    const foot = element("span", { class: "tile-foot" }, this.muted, this.weak, this.name);
    this.root = element(
      "div",
      { class: "tile", role: "listitem", "data-testid": testId },
      this.letters,
      this.video,
      this.note,
      foot,
      this.pin,
    );
    this.pin.addEventListener("click", onPin);
  }

  show(look: Look, track: Track | undefined): void {
    const { root } = this;
    setText(this.name, look.label);
    setText(this.letters, initials(look.letters));
    this.said = look.note;
    this.muted.hidden = !look.silent;
    this.weak.hidden = look.connection === "good";
    root.classList.toggle("speaking", look.speaking);
    root.classList.toggle("mine", look.mine);
    root.classList.toggle("screen", look.screen);
    root.classList.toggle("box", look.box);
    root.classList.toggle("lost", look.connection === "lost");
    setAttribute(root, "aria-label", [look.label, ...look.remarks].join(", "));
    setAttribute(this.pin, "aria-pressed", String(look.pinned));
    setAttribute(this.pin, "aria-label", `Keep large: ${look.label}`);
    this.pin.title = look.pinned ? "Keep large no longer" : "Keep large";
    this.play(track);
    this.renderNote();
  }

  /**
   * Looks whether pictures still come, and whether the server says that it sends none. A screen may stand still for
   * long: only cameras of others are looked at.
   */
  watch(now: number): void {
    const { root, video } = this;
    const expected = !root.hidden && !document.hidden && !root.matches(".mine, .screen, .no-picture") && video.videoWidth > 0;
    const { totalVideoFrames } = video.getVideoPlaybackQuality();
    if (!expected) this.pictureAt = undefined;
    else if (this.pictureAt === undefined || totalVideoFrames !== this.pictures) this.pictureAt = now;
    this.pictures = totalVideoFrames;
    this.stopped = this.pictureAt !== undefined && now - this.pictureAt >= STOPPED_MS;
    this.renderNote();
  }

  private renderNote(): void {
    // Asked for, not waited for: livekit-client 2.21 never raises its event of this.
    const paused = this.track?.streamState === Track.StreamState.Paused;
    const words = this.said || (paused ? "Paused: weak connection" : this.stopped ? "The picture has stopped" : "");
    setText(this.note, words);
    this.note.hidden = words === "";
    this.root.classList.toggle("noted", words !== "");
  }

  /** Where it stands; undefined: out of sight, and its picture is not sent to us any more. */
  place(rect: Rect | undefined, large: boolean): void {
    this.root.hidden = rect === undefined;
    this.root.classList.toggle("large", large);
    if (!rect) return;
    const { style } = this.root;
    style.transform = `translate(${rect.left}px, ${rect.top}px)`;
    style.width = `${rect.width}px`;
    style.height = `${rect.height}px`;
    this.root.classList.toggle("tiny", rect.width < 150);
  }

  remove(): void {
    this.play(undefined);
    this.root.remove();
  }

  private play(track: Track | undefined): void {
    this.root.classList.toggle("no-picture", track === undefined);
    if (track === this.track) return;
    this.track?.detach(this.video);
    this.track = track;
    if (track) track.attach(this.video);
    else this.video.srcObject = null;
  }
}

function setAttribute(target: Element, name: string, value: string): void {
  if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}
