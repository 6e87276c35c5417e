/** What the browser keeps for the next visit: the guest's name and devices. */
import type { Kind } from "./device-choice";

type Remembered = Kind | "name";

const STORE = "roomd-";

export function remember(what: Remembered, value: string): void {
  try {
    localStorage.setItem(STORE + what, value);
  } catch {
    // No storage here: it lasts as long as the page.
  }
}

export function remembered(what: Remembered): string | undefined {
  try {
    return localStorage.getItem(STORE + what) ?? undefined;
  } catch {
    return undefined;
  }
}
