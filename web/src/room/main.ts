/** The guest's page: lobby, then the call, then how it ended. */
import { Room, setLogLevel } from "livekit-client";
import { byId, setText } from "../shared/dom";
import { Call } from "./call";
import { LobbyDevices } from "./devices";
import { Lobby } from "./lobby";
import { roomOptions } from "./options";
import { readToken, roomFromPath, signalUrl, tokenFromFragment, type TokenSummary } from "./token";
import { EXPIRED, joinErrorOf, type Ending } from "./words";

declare global {
  interface Window {
    /** For tests: the LiveKit room of this page. */
    __roomd?: { room: Room };
  }
}

// Errors only: the library's log must never carry what a guest link holds.
setLogLevel("error");

type Part = "lobby" | "call" | "ending";

function showPart(part: Part): void {
  for (const name of ["lobby", "call", "ending"] as const) byId(name).hidden = name !== part;
  // Whoever hears the page is told where they are.
  if (part !== "lobby") byId(part === "call" ? "call-room" : "ending-title").focus();
}

function showEnding(ending: Ending): void {
  setText(byId("ending-title"), ending.title);
  setText(byId("ending-text"), ending.text);
  byId("again").hidden = !ending.again;
  document.title = ending.title;
  showPart("ending");
}

/** What is wrong with the link before anything was tried; undefined when nothing is. */
function linkProblem(token: string | undefined, summary: TokenSummary | undefined, room: string): Ending | undefined {
  if (token === undefined) {
    return {
      title: "A guest link is needed",
      text: "The address of this page lacks its token. Open the whole link that you were sent, or ask for a new one.",
      again: false,
    };
  }
  if (!summary) {
    return {
      title: "This guest link is broken",
      text: "A part of it is missing. Copy the whole link, or ask for a new one.",
      again: false,
    };
  }
  if (summary.expiresAtMs !== undefined && summary.expiresAtMs <= Date.now()) return EXPIRED;
  if (summary.room !== undefined && summary.room !== room) {
    return {
      title: "This link is for another room",
      text: `Its token opens the room “${summary.room}”, not “${room}”.`,
      again: false,
    };
  }
  return undefined;
}

function start(): void {
  byId("again").addEventListener("click", () => location.reload());
  // A second link pasted over the first changes only the fragment, which loads nothing.
  window.addEventListener("hashchange", () => location.reload());
  const roomName = roomFromPath(location.pathname) ?? "";
  const token = tokenFromFragment(location.hash);
  const summary = token === undefined ? undefined : readToken(token);
  document.title = roomName || "Room";
  const problem = linkProblem(token, summary, roomName);
  if (problem || token === undefined || !summary) return showEnding(problem ?? EXPIRED);
  const room = new Room(roomOptions());
  window.__roomd = { room };
  const devices = new LobbyDevices();
  const call = new Call(room, roomName, token, summary, {
    waiting: () => lobby.showWaiting(),
    joined: () => {
      lobby.close();
      showPart("call");
    },
    ended: (ending) => {
      devices.stop();
      lobby.close();
      showEnding(ending);
    },
  });
  const join = async (name: string) => {
    try {
      await call.join(signalUrl(location), devices, name);
    } catch (error) {
      devices.stop();
      showEnding(joinErrorOf(error, Date.now(), summary.expiresAtMs));
    }
  };
  const lobby = new Lobby(roomName, summary, devices, join, () => void room.disconnect());
  showPart("lobby");
  void lobby.start();
}

start();
