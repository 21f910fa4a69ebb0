import { ask_signed_in } from "/api.js";
import { card, show_user } from "/shell.js";

const list = document.getElementById("videos");

async function show() {
  const { user, videos } = await ask_signed_in("GET", "/api/videos");
  show_user(user);
  list.replaceChildren(...videos.map(card));
  list.removeAttribute("aria-busy");
}

// Also when the page comes back from the browser's cache: the positions are others then.
addEventListener("pageshow", show);
