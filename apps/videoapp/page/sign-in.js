import { ask } from "/api.js";

const form = document.getElementById("form");
const problem = document.getElementById("problem");
const button = form.querySelector("button");

/** Where to go afterwards: a path of this site, whatever the address says. */
function next() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return wanted.origin === location.origin ? wanted.pathname : "/";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  button.disabled = true;
  try {
    await ask("POST", "/api/session", Object.fromEntries(new FormData(form)));
    location.replace(next());
  } catch (error) {
    problem.textContent = {
      401: "The user or the password is wrong.",
      429: "Too many attempts. Try again in a few minutes.",
    }[error.status] ?? error.message;
    button.disabled = false;
    form.elements.password.select();
  }
});
