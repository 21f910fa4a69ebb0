import { ask } from "./api.js";

const form = document.getElementById("form");
const problem = document.getElementById("problem");
const button = form.querySelector("button");

if (location.hash === "#used") problem.textContent = "This link was used already, or is too old.";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  button.disabled = true;
  try {
    await ask("POST", "/api/session", { password: form.elements.password.value });
    location.replace("/");
  } catch (error) {
    problem.textContent = {
      401: "That is not the password.",
      429: "Too many attempts. Try again in a minute.",
    }[error.status] ?? error.message;
    button.disabled = false;
    form.elements.password.select();
  }
});
