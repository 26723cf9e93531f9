// A student's page.
//
// A press has a key, made when its button is first shown for that wish and kept in sessionStorage until the press is answered: a
// reload in between is the same request, and the portal does it once. A press without an answer is sent again by itself. Until the page shows what came of a press, another press of
// the same wish is the same press.
//
// What a press changes on the page does not answer to the rest of a double click: a button that means something else than before
// cannot be pressed for a moment, nothing else is pressed at the very place, and what gives something up asks first.

import { $, DAY_NAMES, about, ask, clock, el, heardNow, hours, many, server, span, timeOf, watchSeats } from "/common.js";

const student = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const base = `/api/students/${encodeURIComponent(student)}`;

/** Everything that is shown: sections (which do not change), seats (which do), and what this student has. */
const state = { sections: new Map(), seats: new Map(), me: null, opening: null, opened_here: false };

// ---- Presses and their keys

const wishOf = (action, body) => `${student}:${action}:${body.section ?? `${body.give}>${body.want}`}`;

/** The key of a wish: made once, and the same until the wish is answered. */
function keyOf(wish) {
  const name = `key:${wish}`;
  let key = sessionStorage.getItem(name);
  if (!key) {
    key = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem(name, key);
  }
  return key;
}

/** The wish is answered: another press is another wish. */
function answered(wish) {
  sessionStorage.removeItem(`key:${wish}`);
  sessionStorage.removeItem(`pressed:${wish}`);
}

const under_way = new Set();

/** So long after the page has shown what came of a press, what it changed does not answer to presses, in ms. */
const QUIET_MS = 1500;
/** So near to the last press nothing else is pressed meanwhile, in pixels. */
const SAME_PLACE = 48;
/** Until when, and what was pressed last: where, for which wish, beside which section. */
const quiet = { until: 0, x: NaN, y: NaN, wish: null, section: null };

const isQuiet = () => under_way.size > 0 || performance.now() < quiet.until;

/** What a press has changed is drawn now; it settles. */
function settle() {
  quiet.until = performance.now() + QUIET_MS;
  setTimeout(() => {
    if (isQuiet()) return;
    for (const one of document.querySelectorAll("[data-settling]")) {
      delete one.dataset.settling;
      one.removeAttribute("aria-disabled");
    }
  }, QUIET_MS + 20);
}

/** Whether this click belongs to a press before: it is on what that press has changed, or on what came to be where it was. */
function isEcho(event) {
  if (!isQuiet()) return false;
  const one = event.currentTarget;
  if ("settling" in one.dataset) return true;
  // A press of a key has no place; what it is on has not moved.
  if (event.detail === 0 || one.dataset.wish === quiet.wish) return false;
  return Math.hypot(event.clientX - quiet.x, event.clientY - quiet.y) < SAME_PLACE;
}

/** Presses, if this is a press by itself. */
function pressed(event, wish, section, go) {
  if (isEcho(event)) return;
  Object.assign(quiet, { x: event.detail === 0 ? NaN : event.clientX, y: event.clientY, wish, section });
  go();
}

/** A press without an answer is sent again after so long, and after twice as long each further time, up to the second, in ms. */
const AGAIN_MS = [1000, 10000];
/** When a wish is sent again, by itself. */
const again_at = new Map();

/** Presses: sends the wish under its key, and says what came of it beside the section that it is about. With `waited`, the page
 * itself sends it again, after so long: nobody is looking for it, and nothing else on the page changes. */
async function press(action, body, waited = 0) {
  const wish = wishOf(action, body);
  if (under_way.has(wish)) return;
  clearTimeout(again_at.get(wish));
  const key = keyOf(wish);
  const about_section = body.section ?? body.want;
  const was_kept = state.me?.offers.some((offer) => offer.section === body.give);
  sessionStorage.setItem(`pressed:${wish}`, JSON.stringify({ action, body }));
  under_way.add(wish);
  if (!waited) {
    closeAsking();
    // What came of earlier presses has been read.
    inPlace(() => {
      for (const id of [...told.keys()]) {
        told.delete(id);
        drawSection(id, true);
      }
      $("#general").replaceChildren();
    });
  }
  showBusy();
  const answer = await ask("POST", `${base}/${action}`, body, { "Idempotency-Key": key });
  settle();
  if (answer.status === 0 || answer.status === 503) {
    under_way.delete(wish);
    if (!waited) tell(about_section, { ...(answer.body ?? away), by_itself: true, again: () => press(action, body) });
    showBusy();
    const pause = Math.min(Math.max(2 * waited, AGAIN_MS[0]), AGAIN_MS[1]);
    // All who wait do not come at once.
    again_at.set(wish, setTimeout(() => press(action, body, pause), pause * (1 + Math.random() / 2)));
    return;
  }
  answered(wish);
  tell(about_section, answer.ok ? { done: doneWords(action, body, answer.body, was_kept) + lostWords(answer.body?.lost) } : answer.body ?? away);
  // The answer is there, and the page does not show it yet: what is pressed until then is pressed on what was.
  await look();
  under_way.delete(wish);
  showBusy();
  settle();
  const what = told.get(about_section);
  if (what && !what.done) what.then = standing(about_section);
}

const away = {
  code: "away",
  message: "There was no answer, so nobody knows whether this was done. Press again: it will not be done twice.",
  possible: [{ action: "again", words: "Press again; it is the same request." }],
};

/** What was lost with what was given up, of which it was promised for that. */
const lostWords = (lost) => (lost ?? []).map(({ what, section }) => (what === "offer" ? ` The seat in ${section} that was kept for you went with it.` : ` Your place in line for ${section} went with it.`)).join("");

/** What would be lost with this seat: it is promised for that. */
function promisedWords(section) {
  const gives = (one) => one.gives === section;
  const offer = state.me?.offers.find(gives);
  if (offer) return ` The seat in ${offer.section} that is kept for you goes with it: ${section} is to be given for that.`;
  const place = state.me?.places.find(gives);
  return place ? ` Your place in line for ${place.section} goes with it: ${section} is to be given for that.` : "";
}

function doneWords(action, body, answer, was_kept) {
  switch (action) {
    case "enrol": return `You have a seat in ${body.section}. The confirmation, your record and the fee follow by themselves.`;
    case "accept": return `The seat in ${body.section} is yours.`;
    case "drop": return `You gave your seat in ${body.section} back. The fee, your record and the mail are undone by themselves, in this order.`;
    case "join": return answer?.offered ? `A seat in ${body.section} is kept for you: accept it on the right.` : `You stand in line for ${body.section}.`;
    case "leave": return `You left the line for ${body.section}.`;
    case "decline": return `The seat in ${body.section} goes to the next in line.`;
    case "swap": return answer?.when_offered
      ? `You keep ${body.give}, and stand in line for ${body.want}. When you accept its seat, ${body.give} is given back.`
      : was_kept
        ? `You have ${body.want} now, and the seat in ${body.give} is kept for you no more.`
        : `You have ${body.want} now, and gave ${body.give} back.`;
    default: return "Done.";
  }
}

/** What was pressed and not answered before the page was loaded again is asked again, under the same key. */
function askAgain() {
  for (const name of Object.keys(sessionStorage)) {
    if (!name.startsWith(`pressed:${student}:`)) continue;
    const { action, body } = JSON.parse(sessionStorage.getItem(name));
    press(action, body);
  }
}

// ---- What came of a press

const told = new Map();

function tell(section, what) {
  what.at = server.now();
  told.set(section, what);
  inPlace(() => drawSection(section, true));
  const box = document.querySelector(`[data-section="${CSS.escape(section)}"] .told`);
  if (!box) {
    $("#general").replaceChildren(toldBox(section, what));
  } else if (!what.done) {
    // A refusal is to be seen; what was done is seen in the row itself, which stays where it is.
    box.scrollIntoView({ block: "nearest" });
  }
}

/** How a row stands, as text: a refusal is about that. */
function standing(id) {
  const section = state.sections.get(id);
  const seats = state.seats.get(id);
  if (!section || !seats) return null;
  const { acts, note } = choices(section);
  const wishes = acts.map((one) => one.dataset.wish).join();
  return { wishes, all: JSON.stringify([seats.free, seats.waiting, seats.capacity, note, wishes]) };
}

/** Takes a refusal away that is answered by what the student has now, and marks one since which the row has changed. */
function ageTold(id, has) {
  const what = told.get(id);
  if (!what?.then) return;
  const now = standing(id);
  if (has && what.then.wishes !== now.wishes) told.delete(id);
  else if (what.then.all !== now.all) what.is_old = true;
}

/** Draws, and keeps the row of the last press where it is on the screen. */
function inPlace(draw) {
  const row = () => isQuiet() && quiet.section && document.querySelector(`[data-section="${CSS.escape(quiet.section)}"]`);
  const before = row();
  const top = before ? before.getBoundingClientRect().top : NaN;
  const in_sight = top >= 0 && top < innerHeight;
  // The browser has a way of its own to hold a page still; both together would be too much.
  const root = document.documentElement;
  if (in_sight) {
    root.style.overflowAnchor = "none";
    requestAnimationFrame(() => requestAnimationFrame(() => root.style.removeProperty("overflow-anchor")));
  }
  draw();
  const after = row();
  if (!after || !in_sight) return;
  const moved = after.getBoundingClientRect().top - top;
  if (Math.abs(moved) >= 1) scrollBy({ top: moved, behavior: "instant" });
}

// ---- Asking before something is given up

/** What is asked just now: the question itself, the row of a section it may stand in, and where it stands: below the button that
 * asks, for as long as there is that button. */
let asking = null;

const ASKS = {
  drop: { words: ({ section }) => `Drop ${section}? It may be gone when you want it back.${promisedWords(section)}`, yes: "Drop it", no: "Keep it" },
  leave: { words: ({ section }) => `Leave the line for ${section}? Your place in it is gone then.`, yes: "Leave it", no: "Stay in line" },
  decline: { words: ({ section }) => `Decline the seat in ${section}? It is offered to the next in line then.`, yes: "Decline it", no: "Keep the offer" },
  swap: { words: ({ give, want }) => `Give ${give} for ${want}? ${give} may be gone when you want it back.${promisedWords(give)}`, yes: "Swap them", no: "Keep what I have" },
};

/** What a question can stand in, by the name of its `data-`, the innermost first. */
const HOSTS = ["told", "section", "offer", "place", "mine"];

/** A button that asks before it presses. */
function careful(words, action, body) {
  const one = button(words, action, body, false, () => askFirst(one, action, body));
  one.dataset.asks = wishOf(action, body);
  return one;
}

/** Asks below the button `one`. */
function askFirst(one, action, body) {
  closeAsking();
  quiet.until = performance.now() + QUIET_MS;
  const host = one.closest(HOSTS.map((name) => `[data-${name}]`).join());
  const name = HOSTS.find((name) => host.dataset[name]);
  const where = `[data-${name}="${CSS.escape(host.dataset[name])}"]`;
  const about_section = body.section ?? body.want;
  const { words, yes, no } = ASKS[action];
  const keep = el("button", { type: "button", class: "button", "data-no": action, onclick: () => closeAsking(true) }, no);
  const go = () => press(action, { ...body, seen: seen(about_section) });
  const sure = el("button", { type: "button", class: "button", "data-sure": action, onclick: (event) => pressed(event, `sure:${one.dataset.asks}`, about_section, go) }, yes);
  const question = words(body);
  const box = el("div", { class: "asking", role: "group", "aria-label": question, onkeydown: (event) => event.key === "Escape" && closeAsking(true) }, el("p", {}, question), el("div", { class: "asking-act" }, keep, sure));
  asking = { box, row: host.closest("[data-section]")?.dataset.section, where, by: `${where} [data-asks="${CSS.escape(one.dataset.asks)}"]` };
  host.append(box);
  keep.focus({ preventScroll: true });
  box.scrollIntoView({ block: "nearest" });
}

function closeAsking(back) {
  if (!asking) return;
  const { box, by } = asking;
  asking = null;
  box.remove();
  if (back) $(by)?.focus();
}

/** Draws anew what a question may stand in; it stays, and so does the focus in it. */
function aroundAsking(draw) {
  const focused = asking?.box.contains(document.activeElement) && document.activeElement;
  draw();
  if (!asking) return;
  if (!$(asking.by)) return closeAsking();
  const host = $(asking.where);
  if (asking.box.parentElement !== host) host.append(asking.box);
  if (focused) focused.focus({ preventScroll: true });
}

const WORDS = { enrol: "Enrol", join: "Wait in line", swap: "Swap", swap_when_offered: "Wait, and swap then", accept: "Accept", decline: "Decline", leave: "Leave the line", again: "Press again" };

function toldBox(section, what) {
  if (what.done) return el("div", { class: "told", "data-told": section, "data-kind": "done", role: "status" }, el("p", {}, what.done));
  const ways = (what.possible ?? []).map((way) => {
    const way_wish = `way:${way.action}:${way.give ?? ""}:${way.section ?? section}`;
    const body = way.action.startsWith("swap") ? { give: way.give, want: way.section } : { section: way.section };
    const press_it = (event) => pressed(event, way_wish, section, () => {
      if (way.action in ASKS) return askFirst(event.currentTarget, way.action, body);
      told.delete(section);
      if (way.action === "again") return what.again ? what.again() : undefined;
      if (way.action === "swap_when_offered") return press("swap", { ...body, when_offered: true, seen: seen(way.section) });
      return press(way.action, { ...body, seen: seen(way.section) });
    });
    const can_press = way.action in WORDS && (way.action !== "again" || what.again);
    return el("li", {}, el("span", {}, way.words), can_press && el("button", { class: "button", type: "button", "data-way": way.action, "data-asks": way.action in ASKS && way_wish, onclick: press_it }, WORDS[way.action]));
  });
  return el(
    "div",
    { class: "told", role: "alert", "data-told": section, "data-code": what.code },
    el("p", { class: "told-message" }, what.message ?? "Nothing was done."),
    what.changed && el("p", {}, what.changed),
    what.by_itself && el("p", {}, "This page sends it again by itself, until there is an answer."),
    ways.length > 0 && el("p", { class: "small" }, "What is still possible:"),
    ways.length > 0 && el("ul", {}, ...ways),
  );
}

/** Shows in a row what came of a press. A box that is there already stays, and so does the focus in it. */
function drawTold(row, section) {
  const what = told.get(section);
  let box = $(".told", row);
  if (box && box.what !== what) box.remove();
  if (!what) return;
  if (box?.what !== what) {
    box = toldBox(section, what);
    box.what = what;
    row.append(box);
  }
  if (what.is_old && !("old" in box.dataset)) {
    box.dataset.old = "";
    box.prepend(el("p", { class: "told-old small" }, `This was so at ${timeOf(what.at)}. The section has changed since.`));
  }
}

// ---- Courses

const seen = (section) => {
  const seats = state.seats.get(section);
  return seats ? { version: seats.version, free: seats.free } : undefined;
};

function button(words, action, body, strong, go) {
  const wish = wishOf(action, body);
  const section = body.section ?? body.want;
  keyOf(wish);
  const busy = under_way.has(wish);
  // A button that a press brings about is new to whoever pressed.
  const settling = isQuiet() && !document.querySelector(`[data-wish="${CSS.escape(wish)}"]:not([data-settling])`);
  const act = go ?? (() => press(action, { ...body, seen: seen(section) }));
  return el(
    "button",
    {
      type: "button", class: strong ? "button button-strong" : "button", "data-wish": wish, "data-words": words, "data-action": action, "data-busy": busy,
      "data-settling": settling, "aria-disabled": settling ? "true" : undefined, onclick: (event) => pressed(event, wish, section, act),
    },
    busy ? "…" : words,
  );
}

/** Buttons under way say so. */
function showBusy() {
  for (const one of document.querySelectorAll("[data-wish]")) showBusyOn(one);
}

function showBusyOn(one) {
  const busy = under_way.has(one.dataset.wish);
  one.toggleAttribute("data-busy", busy);
  one.textContent = busy ? "…" : one.dataset.words;
}

/** What can be done about a section, and a note beside it. */
function choices(section) {
  const { me } = state;
  const seats = state.seats.get(section.id);
  if (!me || !seats) return { acts: [], note: "" };
  const has = me.enrolments.find((one) => one.section === section.id);
  if (has) return { mine: true, acts: [careful("Drop", "drop", { section: section.id })], note: `You have a seat here.${promisedWords(section.id)}` };
  const offer = me.offers.find((one) => one.section === section.id);
  if (offer) return { mine: true, acts: [button("Accept", "accept", { section: section.id }, true)], note: "A seat is kept for you." };
  const place = me.places.find((one) => one.section === section.id);
  if (place) return { waits: true, acts: [careful("Leave the line", "leave", { section: section.id })], note: placeWords(place) };
  if (seats.door === "closed") return { acts: [], note: "The enrolment is closed." };
  const rule = me.barred[section.id];
  if (seats.door === "upcoming") {
    const opens = seats.opens_at;
    if (rule) return { acts: [], note: rule.words, opens };
    if (!seats.draws) return { acts: [], note: "Nobody has a seat here before it opens.", opens };
    return { acts: [button("Take part in the draw", "join", { section: section.id })], note: "Who takes part before the opening is put in an order by lot; being early is no advantage.", opens };
  }
  if (rule?.code === "same_course") {
    const of_course = (one) => state.sections.get(one.section)?.course === section.course;
    const seat = me.enrolments.find(of_course);
    const kept = me.offers.find(of_course);
    const other = seat ?? kept;
    if (!other) return { acts: [], note: rule.words };
    // What is kept is in the way of a swap of what one has, and is promised for nothing itself.
    if (kept && (seat || seats.free === 0)) return { acts: [], note: `A seat in ${kept.section}, of this course, is kept for you: accept or decline it first.` };
    const body = { give: other.section, want: section.id };
    if (seats.free > 0) return { acts: [careful(`Swap ${other.section}`, "swap", body)], note: kept ? rule.words : "" };
    return { acts: [button(`Wait, then swap ${other.section}`, "swap", { ...body, when_offered: true })], note: "" };
  }
  if (rule) return { acts: [], note: rule.words };
  if (seats.free > 0) return { acts: [button("Enrol", "enrol", { section: section.id }, true)], note: "" };
  return { acts: [button("Wait in line", "join", { section: section.id })], note: "" };
}

/** Puts buttons in place, and leaves those alone that are there already: one that was replaced between a finger's going down and
 * its coming up would not have been pressed. */
function replaceButtons(box, buttons) {
  const same = box.children.length === buttons.length && buttons.every((one, at) => box.children[at].dataset.wish === one.dataset.wish && box.children[at].dataset.words === one.dataset.words);
  if (same) {
    for (const one of box.children) showBusyOn(one);
    return;
  }
  const focused = box.contains(document.activeElement);
  box.replaceChildren(...buttons);
  if (focused) $("button", box)?.focus();
}

/** When a section opens, with a clock that runs. */
function opensWords(opens) {
  if (!opens) return [];
  return [" It opens in ", el("span", { class: "opens-time", "data-until": opens }, span(opens - server.now())), `, at ${timeOf(opens)}.`];
}

function placeWords(place) {
  const before = place.ahead === null ? "the order is drawn at the opening" : place.ahead === 0 ? "you are the first" : `${many(place.ahead, "student")} before you`;
  const gives = place.gives ? `; ${place.gives} is given back when you accept` : "";
  return `You stand in line: ${before}${gives}.`;
}

function sectionRow(section) {
  return el(
    "div",
    { class: "section", "data-section": section.id, "data-free": "" },
    el("div", {}, el("span", { class: "section-name" }, section.id), " ", el("span", { class: "section-when" }, hours(section.meetings))),
    el("div", { class: "section-seats" }),
    el("div", { class: "section-act" }),
    el("div", { class: "section-note" }),
  );
}

const drawn = new Map();

/** Draws what has changed of a section, and nothing else. */
function drawSection(id, anyway = false) {
  const row = document.querySelector(`[data-section="${CSS.escape(id)}"]`);
  const section = state.sections.get(id);
  const seats = state.seats.get(id);
  if (!row || !section || !seats) return;
  const before = drawn.get(id);
  if (!anyway && before?.version === seats.version && before.door === seats.door && before.me === state.me) return;
  if (before && before.version < seats.version && before.free !== seats.free) {
    row.classList.remove("changed");
    void row.offsetWidth;
    row.classList.add("changed");
  }
  drawn.set(id, { version: seats.version, door: seats.door, free: seats.free, me: state.me });
  const full = seats.free === 0 && seats.capacity > 0;
  row.toggleAttribute("data-full", full);
  row.dataset.free = seats.free;
  row.dataset.version = seats.version;
  const line = seats.waiting > 0 ? `, ${seats.waiting} in line` : "";
  const share = seats.capacity > 0 ? (100 * (seats.capacity - seats.free)) / seats.capacity : 100;
  const bar = el("i");
  bar.style.width = `${share}%`;
  const count = seats.capacity === 0 ? [el("strong", {}, "no seats"), line] : [el("strong", {}, full ? "full" : `${seats.free} free`), ` of ${seats.capacity}${line}`];
  $(".section-seats", row).replaceChildren(...count, el("span", { class: "meter", "aria-hidden": "true" }, bar));
  const { acts, note, mine, waits, opens } = choices(section);
  row.toggleAttribute("data-mine", Boolean(mine));
  const draw = () => {
    replaceButtons($(".section-act", row), acts);
    $(".section-note", row).replaceChildren(note, ...opensWords(opens));
    ageTold(id, mine || waits);
    drawTold(row, id);
  };
  if (asking?.row === id) aroundAsking(draw);
  else draw();
}

function drawCourses() {
  const words = $("#find").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const courses = new Map();
  for (const section of state.sections.values()) {
    const seats = state.seats.get(section.id);
    const text = `${section.id} ${section.course} ${section.title} ${hours(section.meetings)}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    if ($("#only-free").checked && !(seats?.free > 0)) continue;
    if ($("#only-mine").checked && state.me?.barred[section.id] && state.me.barred[section.id].code !== "same_course") continue;
    courses.set(section.course, [...(courses.get(section.course) ?? []), section]);
  }
  drawn.clear();
  aroundAsking(() => showCourses(courses));
}

function showCourses(courses) {
  $("#courses").replaceChildren(
    ...[...courses.values()].map((sections) => {
      const [{ course, title, credits, prerequisites, fee_cents }] = sections;
      const needs = prerequisites.length > 0 ? ` · needs ${prerequisites.join(", ")}` : "";
      return el(
        "article",
        { class: "course", "data-course": course },
        el("header", {}, el("h3", {}, title), el("span", { class: "muted" }, `${course} · ${many(credits, "credit")} · ${(fee_cents / 100).toFixed(2)} EUR${needs}`)),
        ...sections.map(sectionRow),
      );
    }),
  );
  $("#nothing").hidden = courses.size > 0;
  for (const id of state.sections.keys()) drawSection(id, true);
}

// ---- Mine

/** What was drawn of mine, as text: what is the same is left alone. */
let mine_drawn = "";

function drawMine() {
  const { me } = state;
  if (!me) return;
  const { now, barred, as_of, ...mine } = me;
  const text = JSON.stringify(mine);
  if (text === mine_drawn) return;
  mine_drawn = text;
  aroundAsking(() => showMine(me));
}

function showMine(me) {
  $("#name").textContent = `${me.student.name} (${me.student.id})`;
  const kept = me.credits_kept > 0 ? `, ${me.credits_kept} kept` : "";
  $("#credits").textContent = `${me.credits} of ${me.student.credits_max} credits${kept}`;
  $("#mine-none").hidden = me.enrolments.length > 0;
  $("#mine").replaceChildren(
    ...me.enrolments.map((one) =>
      el("li", { "data-mine": one.section }, el("div", {}, el("strong", {}, one.title), el("div", { class: "muted" }, `${one.section} · ${hours(one.meetings)}`)), careful("Drop", "drop", { section: one.section })),
    ),
  );
  drawWeek();
  $("#offers-panel").hidden = me.offers.length === 0;
  $("#offers").replaceChildren(
    ...me.offers.map((offer) => {
      const section = state.sections.get(offer.section);
      const gives = offer.gives ? ` ${offer.gives} is given back for it.` : "";
      return el(
        "li",
        { "data-offer": offer.section },
        el("div", {}, el("strong", {}, section?.title ?? offer.section), el("div", { class: "muted" }, offer.section, " for ", el("span", { class: "offer-time", "data-until": offer.until }, span(offer.until - server.now())), ` more.${gives}`)),
        button("Accept", "accept", { section: offer.section }, true),
        careful("Decline", "decline", { section: offer.section }),
      );
    }),
  );
  $("#lines-panel").hidden = me.places.length === 0;
  $("#lines").replaceChildren(
    ...me.places.map((place) => {
      const estimate = place.estimate;
      const when = estimate?.seconds ? `Your turn may come in ${about(estimate.seconds[0])} to ${about(estimate.seconds[1])}. ` : "";
      return el(
        "li",
        { "data-place": place.section },
        el("div", {}, el("strong", {}, place.title), el("div", { class: "muted" }, `${place.section} · ${placeWords(place)}`), estimate && el("div", { class: "muted small" }, `${when}${estimate.how}`)),
        careful("Leave", "leave", { section: place.section }),
      );
    }),
  );
}

function drawWeek() {
  const blocks = (list, kept) =>
    list.flatMap((one) => (state.sections.get(one.section)?.meetings ?? []).map((meeting) => ({ ...meeting, section: one.section, kept })));
  const all = [...blocks(state.me.enrolments, false), ...blocks(state.me.offers, true)].sort((a, b) => a.from - b.from);
  $("#week").replaceChildren(
    ...DAY_NAMES.map(([day, short]) =>
      el("div", {}, el("h3", {}, short), el("ol", {}, ...all.filter((block) => block.day === day).map((block) => el("li", { "data-kept": block.kept }, `${clock(block.from)} `, el("span", {}, block.section))))),
    ),
  );
}

// ---- The opening

let opening_asked = 0;

async function askOpening() {
  opening_asked = Date.now();
  const { ok, body } = await ask("GET", `/api/opening?student=${encodeURIComponent(student)}`);
  if (!ok) return;
  heardNow(body.now);
  const was = state.opening?.state;
  state.opening = body;
  if (was === "upcoming" && body.state === "open") {
    state.opened_here = true;
    await look();
  }
  drawRoom();
}

function drawRoom() {
  const opening = state.opening;
  const waits = opening?.state === "upcoming";
  // At the opening the room stays where it is: nothing moves under a finger that is on its way to a button.
  $("#room").hidden = !waits && !state.opened_here;
  if (!waits) {
    if (document.title !== "My enrolment") document.title = "My enrolment";
    if (!state.opened_here) return;
    $("#room-title").textContent = "The enrolment is";
    $("#countdown").textContent = "open";
    $("#room-here").textContent = "";
    const lot = [...state.seats.values()].some((seats) => seats.draws);
    $("#room-words").textContent = lot
      ? "The order was drawn. Seats were offered in that order, and what is left is for whoever presses first."
      : "Seats are given now, to whoever presses first. The buttons are beside the sections.";
    return;
  }
  state.opened_here = false;
  $("#room-title").textContent = "The enrolment opens in";
  const left = opening.opens_at - server.now();
  $("#countdown").textContent = span(left);
  document.title = `${span(left)} – enrolment`;
  if (opening.room) {
    $("#room-here").textContent = `${many(opening.room.here, "student")} here; you came as number ${opening.room.arrived_as}.`;
  }
  const draws = [...state.seats.values()].some((seats) => seats.draws);
  $("#room-words").textContent = draws
    ? "Take part in the draw of the sections you want. The order is drawn at the opening; being early is no advantage."
    : "Keep this page open: at the opening the buttons appear by themselves. The number is for patience only; being early is no advantage.";
}

/** Once a second: clocks. Every five, or when it is time: whether it is open. */
function tick() {
  const opening = state.opening;
  drawRoom();
  for (const time of document.querySelectorAll("[data-until]")) {
    const left = Number(time.dataset.until) - server.now();
    time.textContent = span(left);
    if (left < -500 && !time.dataset.over) {
      time.dataset.over = "yes";
      look();
    }
  }
  if (opening?.state === "upcoming") {
    const due = opening.opens_at - server.now() <= 0;
    if (Date.now() - opening_asked > (due ? 400 : 5000)) askOpening();
  }
}

// ---- Together

let looking = null;

/** What this student has, as it is now. Who asks while it is asked gets one more answer, not ten. */
function look() {
  looking ??= (async () => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    looking = null;
    const { ok, status, body } = await ask("GET", base);
    if (status === 404) {
      $("#general").replaceChildren(el("div", { class: "told", role: "alert" }, el("p", { class: "told-message" }, body?.message ?? "There is no such student."), el("p", {}, el("a", { href: "/" }, "Choose a student"))));
      return;
    }
    if (!ok) {
      setTimeout(look, 1500);
      return;
    }
    heardNow(body.now);
    state.me = body;
    inPlace(() => {
      drawMine();
      for (const id of state.sections.keys()) drawSection(id);
    });
  })();
  return looking;
}

function heardSeats(sections, news) {
  let mine = false;
  let asks_opening = false;
  for (const seats of sections) {
    const before = state.seats.get(seats.section);
    // Versions never go back, whichever way an answer came.
    if (before && before.version > seats.version) continue;
    state.seats.set(seats.section, seats);
    const { me } = state;
    const concerns = (list) => list?.some((one) => one.section === seats.section || one.gives === seats.section);
    if (before && me && (concerns(me.places) || concerns(me.offers) || concerns(me.enrolments))) mine = true;
    if (before && (before.door !== seats.door || before.opens_at !== seats.opens_at)) asks_opening = true;
    drawSection(seats.section);
  }
  $("#as-of").textContent = news?.away ? `${news.away} Seats as of ${timeOf(news.as_of)}.` : `Seats as of ${timeOf(server.now())}, kept up to date.`;
  $("#as-of").toggleAttribute("data-away", Boolean(news?.away));
  if (mine) look();
  if (asks_opening) askOpening();
}

async function begin() {
  const { ok, body } = await ask("GET", "/api/catalogue");
  if (!ok) {
    setTimeout(begin, 1500);
    return;
  }
  for (const section of body.sections) state.sections.set(section.id, section);
  for (const seats of body.seats.sections) state.seats.set(seats.section, seats);
  await look();
  drawCourses();
  drawMine();
  askOpening();
  watchSeats(heardSeats);
  askAgain();
  setInterval(tick, 250);
  document.documentElement.dataset.ready = "yes";
}

for (const id of ["find", "only-free", "only-mine"]) $(`#${id}`).addEventListener("input", drawCourses);
begin();
