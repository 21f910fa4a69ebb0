// Requests to the service. An instance that is being relocated answers a little later, or 503 with
// Retry-After; the connection may drop. None of that is an error here: the request waits its turn.

const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 3000;
const TIMEOUT_MS = 8000;
const TROUBLE_AFTER_MS = 1000;

/** An answer that trying again does not change. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Tells whether requests get through ("trouble", detail: true or false) and who answers ("instance"). */
export const connection = new EventTarget();
const waiting = new Set();
let wake = new AbortController();

function tell(name, detail) {
  connection.dispatchEvent(new CustomEvent(name, { detail }));
}

// A network that is back is a reason not to wait any longer.
addEventListener("online", () => {
  wake.abort();
  wake = new AbortController();
});

function pause(delay_ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, delay_ms);
    wake.signal.addEventListener("abort", resolve, { once: true });
  });
}

/** How long to wait before the next try: what the server asks for, else doubling, never in step with others. */
export function delay_ms(attempt, retry_after_s) {
  if (retry_after_s > 0) return Math.min(retry_after_s * 1000, MAX_DELAY_MS);
  return Math.min(FIRST_DELAY_MS * 2 ** attempt, MAX_DELAY_MS) * (0.75 + Math.random() / 2);
}

async function once(method, path, content) {
  const response = await fetch(path, {
    method,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(content && { body: JSON.stringify(content), headers: { "Content-Type": "application/json" } }),
  });
  tell("instance", response.headers.get("X-MEC-Instance"));
  return response;
}

/** Ask until there is an answer. Returns its JSON (null for 204); throws Refused for 4xx. */
export async function ask(method, path, content) {
  const request = {};
  const worry = setTimeout(() => {
    waiting.add(request);
    tell("trouble", true);
  }, TROUBLE_AFTER_MS);
  try {
    for (let attempt = 0; ; attempt++) {
      let retry_after_s = 0;
      try {
        const response = await once(method, path, content);
        if (response.ok) return response.status === 204 ? null : await response.json();
        if (response.status < 500) {
          const { error } = await response.json().catch(() => ({}));
          throw new Refused(response.status, error ?? response.statusText);
        }
        retry_after_s = Number(response.headers.get("Retry-After"));
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      await pause(delay_ms(attempt, retry_after_s));
    }
  } finally {
    clearTimeout(worry);
    if (waiting.delete(request) && waiting.size === 0) tell("trouble", false);
  }
}

/** Leave for the sign-in page, and come back here afterwards. */
export function to_sign_in() {
  location.replace(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
}

/** Like `ask`, for those who are signed in: without a session the page leaves. */
export async function ask_signed_in(method, path, content) {
  try {
    return await ask(method, path, content);
  } catch (error) {
    if (error.status !== 401) throw error;
    to_sign_in();
    return new Promise(() => {});
  }
}
