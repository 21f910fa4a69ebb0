// What the pages of a signed-in user share: the bar at the top, and cards of videos.

import { ask, connection } from "/api.js";

const END_S = 5;
const POSTER_RETRY_MS = 1000;

/** Whether so little is left that the next viewing begins at the start. */
export function finished(position_s, duration_s) {
  return position_s > duration_s - END_S;
}

/** 83.2 -> "1:23" */
export function clock(time_s) {
  const whole_s = Math.floor(time_s);
  return `${Math.floor(whole_s / 60)}:${String(whole_s % 60).padStart(2, "0")}`;
}

export function show_user(user) {
  document.getElementById("user").textContent = user;
}

document.getElementById("sign-out").addEventListener("click", async () => {
  dispatchEvent(new Event("signing-out"));
  await ask("DELETE", "/api/session");
  location.assign("/sign-in");
});

connection.addEventListener("trouble", ({ detail }) => {
  document.getElementById("state").textContent = detail ? "Reconnecting…" : "";
});

/** A poster that could not be had is asked for again. */
function load_poster(image, source) {
  image.addEventListener("error", () => setTimeout(() => { image.src = source; }, POSTER_RETRY_MS));
  image.src = source;
}

/** A list item that shows a video and how far it was watched. */
export function card(video) {
  const item = document.getElementById("video").content.cloneNode(true);
  const watched = video.position_s > 0 && !finished(video.position_s, video.duration_s);
  item.querySelector("a").href = `/watch/${video.id}`;
  load_poster(item.querySelector("img"), video.poster);
  item.querySelector(".length").textContent = clock(video.duration_s);
  item.querySelector(".title").textContent = video.title;
  item.querySelector(".description").textContent = video.description;
  item.querySelector(".resume").textContent = watched ? `Continue at ${clock(video.position_s)}` : "";
  const progress = item.querySelector("progress");
  progress.max = video.duration_s;
  progress.value = video.position_s;
  progress.setAttribute("aria-label", "Watched");
  progress.hidden = !watched;
  return item;
}
