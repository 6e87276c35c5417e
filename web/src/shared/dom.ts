/** Making and finding elements. No HTML text is ever parsed, so names cannot inject. */

type Attributes = Record<string, string | boolean | undefined>;
export type Child = Node | string | undefined | null;

/** Makes an element; `true` sets an empty attribute, `false` and undefined set none. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child): child is Node | string => child != null));
  return made;
}

/** The element that the page's HTML carries under this id; its absence is our own fault. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found as T;
}

/** Writes text only when it differs, so that screen readers are not told twice. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}
