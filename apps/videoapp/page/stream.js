// Plays an HLS stream, and goes on trying for as long as the network or the service is away.

import Hls from "/hls.mjs";

const RETRY = {
  maxNumRetry: Infinity,
  retryDelayMs: 200,
  maxRetryDelayMs: 2000,
  backoff: "exponential",
  // Only "sign in first" and "no such video" are final.
  shouldRetry: (_config, _count, _timeout, response) => ![401, 403, 404].includes(response?.code),
};
const POLICY = {
  default: { maxTimeToFirstByteMs: 8000, maxLoadTimeMs: 20000, timeoutRetry: RETRY, errorRetry: RETRY },
};

/** Attach a stream to a video element at a position. `on_refused(status)`: it may not be played. */
export function attach(video, source, position_s, on_refused) {
  if (!Hls.isSupported()) {
    // Safari on phones plays HLS by itself.
    video.addEventListener("loadedmetadata", () => { video.currentTime = position_s; }, { once: true });
    video.src = source;
    return;
  }
  const hls = new Hls({
    startPosition: position_s,
    enableWorker: false, // fragmented MP4 needs no repacking
    maxBufferLength: 30,
    backBufferLength: 30,
    fragLoadPolicy: POLICY,
    manifestLoadPolicy: POLICY,
    playlistLoadPolicy: POLICY,
  });
  hls.on(Hls.Events.ERROR, (_event, { fatal, type, response }) => {
    if (!fatal) return;
    if (response?.code === 401 || response?.code === 404) on_refused(response.code);
    else if (type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
    else setTimeout(() => hls.startLoad(), RETRY.maxRetryDelayMs);
  });
  hls.loadSource(source);
  hls.attachMedia(video);
}
