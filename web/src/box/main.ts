/** The box's page: shows what is true, sends what is wanted. */
import { byId } from "../shared/dom";
import { BoxError, getInfo } from "./api";
import { StateStream } from "./events";
import { LevelMeter } from "./level";
import { LiveCard } from "./live-card";
import { Panel } from "./panel";
import { Picture } from "./picture";
import { Recordings } from "./recordings";
import { RoomCard } from "./room-card";
import type { Box, State } from "./state";

const box: Box = { info: undefined, state: undefined, connected: false, clockAheadMs: 0 };
const panel = new Panel(box);
const roomCard = new RoomCard(box, panel);
const liveCard = new LiveCard(box, panel);
const level = new LevelMeter(box);
const recordings = new Recordings();
const picture = new Picture(() => (box.info ? `box-${box.info.id}` : undefined));

function render(): void {
  panel.render();
  roomCard.render();
  liveCard.render();
  level.render();
}

function onState(state: State): void {
  const before = box.state;
  box.state = state;
  picture.follow(state.room?.status === "joined" ? state.room.name : undefined);
  if (!before || recordingKey(before) !== recordingKey(state)) void recordings.refresh();
  render();
}

/** Changes when a recording begins, ends or turns bad: then the list is read again. */
function recordingKey(state: State): string {
  return [state.recording?.on, state.recording?.id, state.recording?.status].join(" ");
}

function onConnected(connected: boolean): void {
  const cameBack = connected && !box.connected && (box.state !== undefined || box.info === undefined);
  box.connected = connected;
  byId("lost").hidden = connected;
  // A box that was away may have another name or version now. The next return asks again.
  if (cameBack) void loadInfo().catch(() => undefined);
  render();
}

function signedOut(): void {
  picture.stop();
  byId("app").hidden = true;
  byId("signed-out").hidden = false;
  document.title = "Admin link needed";
}

async function loadInfo(): Promise<void> {
  const { info, clockAheadMs } = await getInfo();
  box.info = info;
  box.clockAheadMs = clockAheadMs;
  byId("box-name").textContent = info.name;
  byId("box-id").textContent = `${info.id} · roomd ${info.version}`;
  document.title = info.name;
}

async function start(): Promise<void> {
  byId("try-again").addEventListener("click", () => location.reload());
  try {
    await loadInfo();
  } catch (error) {
    if (error instanceof BoxError && error.status === 401) return signedOut();
    // Anything else is shown by the stream, which keeps trying.
    box.state = undefined;
  }
  byId("app").hidden = false;
  new StateStream({ onState, onLevel: (now) => level.show(now), onConnected, onUnauthorized: signedOut }).start();
  picture.start();
  // Running times move without news from the box.
  setInterval(() => {
    panel.render();
    liveCard.render();
  }, 1000);
}

void start();
