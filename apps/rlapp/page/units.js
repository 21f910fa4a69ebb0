// Numbers as people read them. Times come in seconds, sizes in bytes.

const NONE = "–";

/** 0.0213 -> "21.3 ms", 1.914 -> "1.91 s" */
export function duration(time_s) {
  if (time_s === null || time_s === undefined) return NONE;
  if (time_s < 0.9995) {
    const time_ms = time_s * 1000;
    return `${time_ms.toFixed(time_ms < 9.95 ? 2 : time_ms < 99.95 ? 1 : 0)} ms`;
  }
  return `${time_s.toFixed(time_s < 10 ? 2 : time_s < 100 ? 1 : 0)} s`;
}

/** 0 -> "", 2048 -> "2.0 KiB" */
export function size(bytes) {
  if (!bytes) return "";
  const steps = Math.min(Math.floor(Math.log2(bytes) / 10), 4);
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  return `${(bytes / 1024 ** steps).toFixed(steps ? 1 : 0)} ${units[steps]}`;
}

/** A time of day with tenths, in the reader's own zone. */
export function clock(time_s) {
  const date = new Date(time_s * 1000);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const tenths = Math.floor(date.getMilliseconds() / 100);
  return `${parts.map((part) => String(part).padStart(2, "0")).join(":")}.${tenths}`;
}

/** 90 -> "E" */
export function compass(heading_deg) {
  const points = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];
  return points[Math.round(heading_deg / 45) % 8];
}

/** A place with as many digits as a phone knows: 1 m. */
export function place({ lat, lon }) {
  return `${lat.toFixed(5)}, ${lon.toFixed(5)}`;
}

export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
