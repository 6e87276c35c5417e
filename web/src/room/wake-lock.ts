/** Keeps a phone's screen on during a call, where the browser can. */
export class WakeLock {
  private sentinel: WakeLockSentinel | undefined;
  private wanted = false;

  constructor() {
    // The system takes the lock away from a hidden page.
    document.addEventListener("visibilitychange", () => {
      if (this.wanted && !document.hidden) void this.hold();
    });
  }

  async hold(): Promise<void> {
    this.wanted = true;
    try {
      this.sentinel = await navigator.wakeLock?.request("screen");
    } catch {
      // Refused on low battery: the call goes on with a screen that may turn dark.
      this.sentinel = undefined;
    }
  }

  release(): void {
    this.wanted = false;
    void this.sentinel?.release();
    this.sentinel = undefined;
  }
}
