/** The chat: LiveKit's text streams on its chat topic, shown as plain text. */
import { RoomEvent, type Room } from "livekit-client";
import { byId, element, setText } from "../shared/dom";
import { CHAT_TOPIC, ChatLog, MAX_MESSAGES, lengthHint, problemOf, readText, type Message } from "./chat";
import { showButton } from "./controls";
import { calledOf } from "./person";
import { plain } from "./words";

export class ChatPanel {
  private readonly log = new ChatLog();
  private readonly input = byId<HTMLTextAreaElement>("chat-input");
  private readonly list = byId("chat-list");
  private readonly scroll = byId("chat-scroll");
  private sending = false;

  /** `isOpen`: whether the reader looks at the chat; `tell` speaks to screen readers. */
  constructor(
    private readonly room: Room,
    private readonly isOpen: () => boolean,
    private readonly tell: (words: string) => void,
  ) {
    room.registerTextStreamHandler(CHAT_TOPIC, (reader, from) => {
      void readText(reader).then(
        ({ text, cut }) => this.receive(from.identity, reader.info.id, text, cut),
        // Whoever sent it left in the middle of it: there is nothing to show.
        () => undefined,
      );
    });
    // Clients from before text streams.
    room.on(RoomEvent.ChatMessage, (said, from) => {
      void readText(pieces(said.message)).then(({ text, cut }) => this.receive(from?.identity ?? "", said.id, text, cut));
    });
    byId("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      void this.send();
    });
    this.input.addEventListener("input", () => {
      setText(byId("chat-hint"), lengthHint(this.input.value));
      setText(byId("chat-problem"), problemOf(this.input.value) ?? "");
    });
    this.render();
  }

  /** The button with its number, and whether one may write. */
  render(): void {
    if (this.isOpen() && this.log.unread > 0) this.log.markSeen();
    const { unread } = this.log;
    const label = unread > 0 ? `Chat, ${unread} unread` : "Chat";
    const badge = unread > 0 ? String(Math.min(unread, 99)) : "";
    showButton(byId("toggle-chat"), { text: ["Chat", "Chat"], label, icon: "chat" }, badge);
    const may = this.room.localParticipant.permissions?.canPublishData !== false;
    this.input.disabled = !may;
    this.input.placeholder = may ? "Message to everybody" : "You may read, but not write";
    byId<HTMLButtonElement>("chat-send").disabled = !may;
  }

  private async send(): Promise<void> {
    const text = this.input.value.trim();
    const problem = problemOf(text);
    setText(byId("chat-problem"), problem ?? "");
    if (text === "" || problem !== undefined || this.sending) return;
    this.sending = true;
    byId("chat-send").setAttribute("aria-busy", "true");
    try {
      const { localParticipant } = this.room;
      const info = await localParticipant.sendText(text, { topic: CHAT_TOPIC });
      const name = calledOf(localParticipant);
      this.add({ id: info.id, name, mine: true, text, cut: false, atMs: Date.now() });
      this.input.value = "";
      setText(byId("chat-hint"), "");
    } catch (error) {
      setText(byId("chat-problem"), `Not sent: ${plain(error)}`);
    } finally {
      this.sending = false;
      byId("chat-send").removeAttribute("aria-busy");
    }
  }

  private receive(identity: string, id: string, text: string, cut: boolean): void {
    const from = this.room.remoteParticipants.get(identity);
    const name = from ? calledOf(from) : identity || "Somebody";
    // Two senders cannot take each other's id.
    const message = { id: `${identity}/${id}`, name, mine: false, text, cut, atMs: Date.now() };
    if (this.add(message) && !this.isOpen()) this.tell(`Message from ${name}: ${text}`);
  }

  private add(message: Message): boolean {
    // Whoever reads older messages is left where they are.
    const atEnd = this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < 40;
    if (!this.log.add(message, this.isOpen())) return false;
    this.list.append(row(message));
    while (this.list.childElementCount > MAX_MESSAGES) this.list.firstElementChild?.remove();
    byId("chat-empty").hidden = true;
    if (atEnd || message.mine) this.scroll.scrollTop = this.scroll.scrollHeight;
    this.render();
    return true;
  }
}

async function* pieces(text: string): AsyncGenerator<string> {
  yield text;
}

function row(message: Message): HTMLElement {
  const time = new Date(message.atMs).toLocaleTimeString(undefined, { timeStyle: "short" });
  return element(
    "li",
    { class: message.mine ? "message mine" : "message" },
    element(
      "p",
      { class: "message-top" },
      element("bdi", { class: "message-name" }, message.mine ? "You" : message.name),
      " ",
      element("time", { datetime: new Date(message.atMs).toISOString() }, time),
    ),
    element("p", { class: "message-text", dir: "auto" }, message.text),
    message.cut ? element("p", { class: "quiet" }, "The rest of this message is too long to be shown.") : null,
  );
}
