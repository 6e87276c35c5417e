/** The stream of states: comes back by itself and always says whether it stands. */
import { retryDelayMs } from "../shared/retry";
import { BoxError, getState } from "./api";
import { NewestState, type Level, type State } from "./state";

/** A stream that says nothing this long is asked about by a plain request. */
const SILENCE_MS = 10_000;
const CHECK_ANSWER_MS = 5000;

export interface StreamListener {
  onState(state: State): void;
  onLevel(level: Level): void;
  /** False as soon as the box does not answer, true again with the next state. */
  onConnected(connected: boolean): void;
  onUnauthorized(): void;
}

/** Follows `/box/events` until the page ends or the session does. */
export class StateStream {
  private source: EventSource | undefined;
  private readonly newest = new NewestState();
  private attempt = 0;
  /** The session is over: only a new one, and so a new page, goes on. */
  private ended = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly listener: StreamListener) {}

  start(): void {
    this.open();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.check();
    });
    window.addEventListener("online", () => this.reopen());
  }

  private open(): void {
    this.source?.close();
    this.newest.restart();
    const source = new EventSource("/box/events");
    this.source = source;
    source.addEventListener("state", (event) => this.receive(event as MessageEvent<string>));
    source.addEventListener("level", (event) => {
      const level = parsed<Level>(event as MessageEvent<string>);
      if (level) this.listener.onLevel(level);
    });
    // The browser's own retry gives up for good on any answer but 200; ours does not.
    source.addEventListener("error", () => {
      source.close();
      this.lost();
    });
    this.expectWithin(SILENCE_MS);
  }

  private receive(event: MessageEvent<string>): void {
    const state = parsed<State>(event);
    if (state) this.accept(state);
  }

  private accept(state: State): void {
    this.attempt = 0;
    this.expectWithin(SILENCE_MS);
    this.listener.onConnected(true);
    if (this.newest.accept(state)) this.listener.onState(state);
  }

  private lost(): void {
    this.listener.onConnected(false);
    const delay = retryDelayMs(this.attempt, 500, 8000, Math.random());
    this.attempt += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.comeBack(), delay);
  }

  /** Asks for the state first: that tells a box that is away from a session that ended. */
  private async comeBack(): Promise<void> {
    if (this.ended) return;
    try {
      const state = await getState(CHECK_ANSWER_MS);
      this.open();
      this.accept(state);
    } catch (error) {
      this.failed(error);
    }
  }

  private reopen(): void {
    this.attempt = 0;
    clearTimeout(this.timer);
    void this.comeBack();
  }

  private expectWithin(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.check(), ms);
  }

  /** A half-open connection is silent for ever; a request tells. */
  private async check(): Promise<void> {
    if (this.source?.readyState === EventSource.CLOSED) return this.comeBack();
    try {
      this.accept(await getState(CHECK_ANSWER_MS));
    } catch (error) {
      this.source?.close();
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    if (error instanceof BoxError && error.status === 401) {
      clearTimeout(this.timer);
      this.source?.close();
      this.ended = true;
      this.listener.onUnauthorized();
      return;
    }
    this.lost();
  }
}

function parsed<T>(event: MessageEvent<string>): T | undefined {
  try {
    return JSON.parse(event.data) as T;
  } catch {
    return undefined;
  }
}
