// What happens, from the service: its state once, then every event after it, by server-sent events.
// After a loss it goes on behind the last event that came, as long as the service has kept them;
// else it begins anew with the state. Either way nothing is missed.

import { ask, ask_signed_in } from "/open/api.js";

const FIRST_DELAY_MS = 300;
const MAX_DELAY_MS = 5000;
// The service says something every 2 s. Where nothing comes, the way there is gone: the browser has another
// address now, say, and its connection from the old one has not told.
const SILENT_MS = 6000;
const TYPES = [
  "location", "handoff", "phase", "relocation", "instance", "access_point", "log", "drive", "prediction",
];

export class Feed {
  /**
   * @param {{state: function, event: function, connected: function}} listener
   *   state(state); event(type, data, id); connected(true or false)
   */
  constructor(listener) {
    this.listener = listener;
    this.source = null;
    this.last = null;
    this.attempt = 0;
    this.timer = null;
    this.heard_ms = 0;
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      this.look();
      this.retry();
    });
    setInterval(() => this.look(), SILENT_MS / 4);
    this.connect();
  }

  async connect() {
    this.timer = null;
    try {
      if (this.last === null) {
        const state = await ask_signed_in("GET", "/api/state", undefined, SILENT_MS);
        this.last = state.event;
        this.listener.state(state);
      } else if (this.attempt > 0) {
        // An event stream does not tell why it was refused.
        await ask("GET", "/api/session", undefined, SILENT_MS);
      }
    } catch (error) {
      if (error.status === 401) location.replace("/sign-in");
      else this.lost();
      return;
    }
    this.open();
  }

  open() {
    const source = new EventSource(`/api/events?after=${this.last}`);
    this.source = source;
    this.heard_ms = performance.now();
    source.addEventListener("open", () => {
      this.attempt = 0;
      this.listener.connected(true);
    });
    source.addEventListener("error", () => {
      if (source === this.source) this.lost();
    });
    source.addEventListener("anew", () => {
      source.close();
      this.last = null;
      this.connect();
    });
    source.addEventListener("alive", () => {
      this.heard_ms = performance.now();
    });
    for (const type of TYPES) {
      source.addEventListener(type, (message) => {
        if (source !== this.source) return;
        this.heard_ms = performance.now();
        this.last = Number(message.lastEventId);
        this.listener.event(type, JSON.parse(message.data), this.last);
      });
    }
  }

  lost() {
    this.source?.close();
    this.source = null;
    this.listener.connected(false);
    if (this.timer !== null) return;
    const delay_ms = Math.min(FIRST_DELAY_MS * 2 ** this.attempt, MAX_DELAY_MS);
    this.attempt += 1;
    // Not all pages at once when the service is back.
    this.timer = setTimeout(() => this.connect(), delay_ms * (0.75 + Math.random() / 2));
  }

  /** Do not wait any longer, if it waits. */
  retry() {
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.connect();
  }

  /** A connection over which nothing comes any more is none. */
  look() {
    if (this.source && performance.now() - this.heard_ms > SILENT_MS) this.lost();
  }
}
