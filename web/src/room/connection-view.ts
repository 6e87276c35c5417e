/** The banner while the room is away, and the sign of one's own connection. */
import { ConnectionState, RoomEvent, type Room } from "livekit-client";
import { byId, setText } from "../shared/dom";
import { icon } from "../shared/icons";
import { bannerOf, bannerTime, qualityOf } from "./connection";

export class ConnectionView {
  private awaySince: number | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private readonly look = () => this.render();

  constructor(
    private readonly room: Room,
    private readonly tell: (words: string) => void,
  ) {
    room.on(RoomEvent.Reconnected, () => this.render());
    window.addEventListener("online", this.look);
    window.addEventListener("offline", this.look);
  }

  render(): void {
    const words = bannerOf(this.room.state, navigator.onLine);
    this.renderBanner(words);
    const quality = words === undefined ? qualityOf(this.room.localParticipant.connectionQuality) : undefined;
    const sign = byId("call-quality");
    sign.hidden = quality === undefined;
    if (!quality || sign.dataset.tone === quality.tone) return;
    sign.dataset.tone = quality.tone;
    sign.title = quality.words;
    sign.setAttribute("aria-label", quality.words);
    sign.replaceChildren(icon(quality.icon));
  }

  private renderBanner(words: string | undefined): void {
    const text = byId("call-banner-text");
    if (words !== undefined && text.textContent !== words) this.tell(words);
    if (words === undefined && this.awaySince !== undefined && this.room.state === ConnectionState.Connected) {
      this.tell("Connected again");
    }
    byId("call-banner").hidden = words === undefined;
    setText(text, words ?? "");
    if (words === undefined) return this.stop();
    this.awaySince ??= performance.now();
    setText(byId("call-banner-time"), bannerTime(performance.now() - this.awaySince));
    this.timer ??= setInterval(this.look, 1000);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.awaySince = undefined;
    setText(byId("call-banner-time"), "");
  }
}
