import { ask_signed_in, connection, to_sign_in } from "/api.js";
import { Position } from "/position.js";
import { card, clock, finished, show_user } from "/shell.js";
import { attach } from "/stream.js";

const SAVE_EVERY_MS = 2000;
const STEP_S = 10;

const at = (id) => document.getElementById(id);
const screen = at("screen");
const stage = at("stage");
const seek = at("seek");
const id = location.pathname.split("/").pop();

function toggle() {
  if (screen.paused) screen.play().catch(() => {}); // a browser may want to be asked by a person
  else screen.pause();
}

function move_to(position_s) {
  screen.currentTime = Math.min(Math.max(position_s, 0), screen.duration || 0);
}

function full_screen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.();
}

function show_position() {
  at("now").textContent = clock(screen.currentTime);
  seek.value = screen.currentTime;
  seek.setAttribute("aria-valuetext", `${clock(screen.currentTime)} of ${clock(Number(seek.max))}`);
}

function show_playing() {
  const playing = !screen.paused;
  at("toggle").setAttribute("aria-label", playing ? "Pause" : "Play");
  at("toggle").querySelector("use").setAttribute("href", playing ? "#pause" : "#play");
}

function show_saved(text, trouble) {
  at("saved").textContent = text;
  at("saved").classList.toggle("trouble", trouble);
}

const KEYS = {
  " ": toggle,
  k: toggle,
  f: full_screen,
  ArrowLeft: () => move_to(screen.currentTime - STEP_S),
  ArrowRight: () => move_to(screen.currentTime + STEP_S),
  j: () => move_to(screen.currentTime - STEP_S),
  l: () => move_to(screen.currentTime + STEP_S),
  Home: () => move_to(0),
};

function wire_controls() {
  at("toggle").addEventListener("click", toggle);
  screen.addEventListener("click", toggle);
  at("rewind").addEventListener("click", () => move_to(screen.currentTime - STEP_S));
  at("skip").addEventListener("click", () => move_to(screen.currentTime + STEP_S));
  at("full").addEventListener("click", full_screen);
  seek.addEventListener("input", () => move_to(Number(seek.value)));
  for (const event of ["play", "pause", "ended"]) screen.addEventListener(event, show_playing);
  screen.addEventListener("timeupdate", show_position);
  addEventListener("keydown", (event) => {
    // A key that a focused control uses itself is the control's.
    const own = event.target.closest?.("button, a, input") && [" ", "Home"].includes(event.key);
    const action = KEYS[event.key];
    if (!action || own || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });
}

function wire_saving(position) {
  const save = () => position.save(screen.currentTime);
  setInterval(() => { if (!screen.paused) save(); }, SAVE_EVERY_MS);
  for (const event of ["pause", "seeked", "ended"]) screen.addEventListener(event, save);
  position.addEventListener("saved", ({ detail }) => show_saved(`Saved at ${clock(detail)}`, false));
  connection.addEventListener("trouble", ({ detail }) => {
    if (detail) show_saved("Your place is kept on this device", true);
  });
  const leave = () => {
    save();
    position.leave();
  };
  addEventListener("pagehide", leave);
  addEventListener("signing-out", () => {
    screen.pause();
    leave();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") leave();
  });
}

async function show_more() {
  const { videos } = await ask_signed_in("GET", "/api/videos");
  at("more").replaceChildren(...videos.filter((video) => video.id !== id).map(card));
}

async function open() {
  const [position, video] = await Position.open(id);
  document.title = `${video.title} · videoapp`;
  show_user(video.user);
  at("title").textContent = video.title;
  at("description").textContent = video.description;
  at("length").textContent = clock(video.duration_s);
  seek.max = video.duration_s;
  screen.setAttribute("aria-label", video.title);
  screen.poster = video.poster;
  const start_s = finished(video.position_s, video.duration_s) ? 0 : video.position_s;
  attach(screen, video.stream, start_s, (status) => (status === 401 ? to_sign_in() : location.assign("/")));
  // Not before the old position is taken up: the beginning of the stream is nobody's position.
  screen.addEventListener("playing", () => wire_saving(position), { once: true });
  toggle();
  await show_more();
}

connection.addEventListener("instance", ({ detail }) => {
  if (detail) at("instance").textContent = detail;
});
wire_controls();
open().catch((error) => {
  if (error.status === 404) location.replace("/");
  else show_saved(error.message, true);
});
