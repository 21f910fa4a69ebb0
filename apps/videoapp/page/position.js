// Keeps the position of one viewing. Each write carries the number of the viewing and its own, so
// that a late one never overwrites a newer one. What the service has not confirmed yet stays on this
// device, and is sent when the video is opened the next time.

import { ask_signed_in } from "/api.js";

const key = (user, video) => `videoapp.unsaved.${user}.${video}`;

function remember(user, video, write) {
  try {
    localStorage.setItem(key(user, video), JSON.stringify(write));
  } catch {
    // Storage that is full or forbidden: only the second copy is missing.
  }
}

function forget(user, video, write) {
  const kept = unsaved(user, video);
  if (kept && kept.viewing === write.viewing && kept.seq <= write.seq) {
    localStorage.removeItem(key(user, video));
  }
}

function unsaved(user, video) {
  try {
    return JSON.parse(localStorage.getItem(key(user, video)));
  } catch {
    return null;
  }
}

export class Position extends EventTarget {
  #user;
  #video;
  #viewing;
  #seq = 0;
  #saved_seq = 0;
  #latest = null;
  #sending = false;

  /** Open a viewing. Returns the keeper and what the service says about the video. */
  static async open(video) {
    const { user } = await ask_signed_in("GET", "/api/session");
    const left_over = unsaved(user, video);
    if (left_over) {
      await ask_signed_in("POST", `/api/videos/${video}/position`, left_over).catch(() => {});
      localStorage.removeItem(key(user, video));
    }
    const viewing = await ask_signed_in("POST", `/api/videos/${video}/viewings`, {});
    const position = new Position();
    position.#user = user;
    position.#video = video;
    position.#viewing = viewing.viewing;
    return [position, viewing];
  }

  /** Keep a position; returns at once. Only the newest is sent, however long the last one takes. */
  save(position_s) {
    if (this.#latest?.position_s === position_s) return;
    this.#latest = { viewing: this.#viewing, seq: ++this.#seq, position_s };
    remember(this.#user, this.#video, this.#latest);
    this.#send();
  }

  /** The page is about to go: send what is not confirmed without waiting for an answer. */
  leave() {
    if (!this.#latest || this.#latest.seq === this.#saved_seq) return;
    const body = new Blob([JSON.stringify(this.#latest)], { type: "application/json" });
    navigator.sendBeacon(`/api/videos/${this.#video}/position`, body);
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.#seq > this.#saved_seq) {
        const write = this.#latest;
        const kept = await ask_signed_in("POST", `/api/videos/${this.#video}/position`, write);
        if (kept.viewing > this.#viewing) await this.#take_over();
        else this.#saved_seq = write.seq;
        forget(this.#user, this.#video, write);
        this.dispatchEvent(new CustomEvent("saved", { detail: write.position_s }));
      }
    } finally {
      this.#sending = false;
    }
  }

  /** Another player has opened the video since; the one that plays last is right. */
  async #take_over() {
    const { viewing } = await ask_signed_in("POST", `/api/videos/${this.#video}/viewings`, {});
    this.#viewing = viewing;
    this.#latest = { ...this.#latest, viewing, seq: ++this.#seq };
  }
}
