// Requests to the service.

const TIMEOUT_MS = 20_000;

/** What the service said in place of doing it; `status` 0: there was no answer. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Ask once. Returns the answer's JSON (null for 204); throws Refused. */
export async function ask(method, path, content, timeout_ms = TIMEOUT_MS) {
  let response;
  try {
    response = await fetch(path, {
      method,
      signal: AbortSignal.timeout(timeout_ms),
      ...(content && {
        body: JSON.stringify(content),
        headers: { "Content-Type": "application/json" },
      }),
    });
  } catch {
    throw new Refused(0, "RLapp does not answer");
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  throw new Refused(response.status, answer?.detail ?? response.statusText);
}

/** Like `ask`, for those who are signed in: without a session the page leaves. */
export async function ask_signed_in(method, path, content, timeout_ms = TIMEOUT_MS) {
  try {
    return await ask(method, path, content, timeout_ms);
  } catch (error) {
    if (error.status !== 401) throw error;
    location.replace("/sign-in");
    return new Promise(() => {});
  }
}
