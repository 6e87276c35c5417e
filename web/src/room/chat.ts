/** What is said in the chat, and its limits. Pure. */

/** The topic of LiveKit's own clients for chat, as a text stream. */
export const CHAT_TOPIC = "lk.chat";
/** Longest message that is sent; also as much as is read of one that came. In UTF-16 code units. */
export const MAX_CHARACTERS = 2000;
/** The counter appears when so many are left. */
const NEARLY = 200;
/** Messages that are kept. One more: the oldest is dropped. */
export const MAX_MESSAGES = 300;

export interface Message {
  id: string;
  /** The sender's name, as it was then. */
  name: string;
  mine: boolean;
  text: string;
  /** Its end was longer than allowed and is not shown. */
  cut: boolean;
  /** When it came, milliseconds since 1970. */
  atMs: number;
}

/** Why a text cannot be sent; undefined when it can. */
export function problemOf(text: string): string | undefined {
  if (text.length <= MAX_CHARACTERS) return undefined;
  return `A message may have ${digits(MAX_CHARACTERS)} characters; this one has ${digits(text.length)}.`;
}

/** What stands under a text that is nearly too long; empty for the others. */
export function lengthHint(text: string): string {
  const left = MAX_CHARACTERS - text.length;
  return left >= 0 && left <= NEARLY ? `${digits(left)} characters left` : "";
}

function digits(count: number): string {
  return count.toLocaleString("en");
}

/** The beginning of a text that comes in pieces: whoever sends without end costs no memory. */
export async function readText(pieces: AsyncIterable<string>): Promise<{ text: string; cut: boolean }> {
  let text = "";
  for await (const piece of pieces) {
    text += piece;
    if (text.length > MAX_CHARACTERS) return { text: text.slice(0, MAX_CHARACTERS), cut: true };
  }
  return { text, cut: false };
}

/** The messages of this visit, and how many of them were not seen yet. */
export class ChatLog {
  private readonly kept: Message[] = [];
  private unseen = 0;

  get messages(): readonly Message[] {
    return this.kept;
  }

  get unread(): number {
    return this.unseen;
  }

  /** Takes a message; false when it is empty or already there. `seen`: somebody looks at the chat now. */
  add(message: Message, seen: boolean): boolean {
    if (message.text.trim() === "" || this.kept.some((known) => known.id === message.id)) return false;
    this.kept.push(message);
    if (this.kept.length > MAX_MESSAGES) this.kept.shift();
    if (!seen && !message.mine) this.unseen += 1;
    return true;
  }

  markSeen(): void {
    this.unseen = 0;
  }
}
