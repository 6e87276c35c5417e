/** How loud one's own microphone is, so that one sees that it works before anybody is asked. */

/** How often it is looked at. */
const EVERY_MS = 100;
/** The quietest that shows. */
const FLOOR_DB = -60;

/** 0 to 100 for samples from -1 to 1. */
export function levelOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-12);
  return Math.round(Math.min(1, Math.max(0, 1 - db / FLOOR_DB)) * 100);
}

export class Meter {
  private context: AudioContext | undefined;
  private source: MediaStreamAudioSourceNode | undefined;
  private analyser: AnalyserNode | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private track: MediaStreamTrack | undefined;

  /** `root`: the element with the role of a meter; its only child is the bar. */
  constructor(private readonly root: HTMLElement) {}

  /** Measures this track from now on; undefined: none. */
  follow(track: MediaStreamTrack | undefined): void {
    if (track === this.track) return;
    this.track = track;
    this.source?.disconnect();
    this.source = undefined;
    if (!track || typeof AudioContext !== "function") return this.stop();
    this.context ??= new AudioContext();
    this.analyser ??= new AnalyserNode(this.context, { fftSize: 2048 });
    this.source = this.context.createMediaStreamSource(new MediaStream([track]));
    this.source.connect(this.analyser);
    this.timer ??= setInterval(() => this.look(), EVERY_MS);
  }

  private look(): void {
    // Browsers start sound with the reader's first touch of the page only.
    const running = this.context?.state === "running";
    if (!running) void this.context?.resume().catch(() => undefined);
    this.root.hidden = !running;
    if (!running || !this.analyser) return;
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    const level = levelOf(samples);
    this.root.setAttribute("aria-valuenow", String(level));
    const bar = this.root.firstElementChild;
    if (bar instanceof HTMLElement) bar.style.width = `${level}%`;
  }

  private stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.root.hidden = true;
    void this.context?.close();
    this.context = undefined;
    this.analyser = undefined;
  }
}
