// What every page needs: elements, words for numbers and times, requests, and seats as they change.

export const $ = (selector, root = document) => root.querySelector(selector);

/** An element: its name, its attributes, and what is in it. Text is text; nothing here is read as HTML. */
export function el(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...inside.filter((part) => part !== null && part !== undefined && part !== false));
  return element;
}

export const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

const DAYS = { monday: "Mon", tuesday: "Tue", wednesday: "Wed", thursday: "Thu", friday: "Fri" };
export const DAY_NAMES = Object.entries(DAYS);
export const clock = (minutes) => `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;

/** "Mon Wed Fri 9:00–9:50": days with the same hours are said together. */
export function hours(meetings) {
  const groups = new Map();
  for (const { day, from, to } of meetings) {
    const span = `${clock(from)}–${clock(to)}`;
    groups.set(span, [...(groups.get(span) ?? []), DAYS[day]]);
  }
  return [...groups].map(([span, days]) => `${days.join(" ")} ${span}`).join(", ");
}

/** A time of the day, of a moment in ms. */
export const timeOf = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** "1:02:03" or "2:03", of ms; never below zero. */
export function span(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** About how long, of seconds. */
export function about(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** How far the server's clock is ahead of this one's, from its latest answer that said. */
export const server = { ahead: 0, now: () => Date.now() + server.ahead };
export function heardNow(now) {
  if (now) server.ahead = now - Date.now();
}

/** No request waits longer for its answer, in ms; the portal itself says sooner that nobody knows. */
const PATIENCE_MS = 35000;

/** A request. What comes back has `ok`, `status` and `body`; no answer at all is status 0. */
export async function ask(method, path, body, headers = {}) {
  try {
    const response = await fetch(path, {
      method,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const text = await response.text();
    let read = null;
    try { read = text ? JSON.parse(text) : null; } catch { /* not ours: a proxy's page */ }
    return { ok: response.ok, status: response.status, body: read };
  } catch {
    return { ok: false, status: 0, body: null };
  }
}

let watching = null;

/** Tells `heard` of sections as they change, for as long as the page is open. */
export function watchSeats(heard) {
  if (!watching) {
    // A browser has few connections to one server, and a page that it only remembers must not keep one.
    addEventListener("pagehide", () => watching.close());
    addEventListener("pageshow", (event) => event.persisted && watchSeats(heard));
  }
  const light = $("#live");
  const show = (state, words) => {
    if (!light) return;
    light.dataset.state = state;
    light.textContent = words;
  };
  show("waiting", "connecting");
  const source = new EventSource("/api/seats/watch");
  watching = source;
  const read = (event) => {
    show("live", "live");
    const news = JSON.parse(event.data);
    heardNow(news.as_of > server.now() ? news.as_of : 0);
    heard(news.sections, news);
  };
  source.addEventListener("all", read);
  source.addEventListener("seats", read);
  source.onerror = () => {
    show("lost", "connection lost, trying again");
    // A browser gives up by itself after some answers.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => watchSeats(heard), 2000 + Math.random() * 2000);
    }
  };
}
