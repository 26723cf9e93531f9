// The registrar's page: the picture of the day, and what can be changed.

import { $, ask, el, heardNow, many, timeOf, watchSeats } from "/common.js";

const state = { sections: new Map(), seats: new Map() };

function tile(name, value, more, bad) {
  return el("div", { class: "tile", "data-tile": name, "data-state": bad ? "bad" : undefined }, el("dt", {}, name), el("dd", {}, String(value)), more && el("dd", {}, more));
}

const HEALTH = { up: "answers", down: "down", away: "does not answer" };

function drawDay(day) {
  $("#away").textContent = day.away ? `${day.away} As of ${timeOf(day.as_of)}.` : "";
  const share = day.seats > 0 ? Math.round((100 * day.taken) / day.seats) : 0;
  const done = Object.values(day.day.done).reduce((sum, count) => sum + count, 0);
  const refused = Object.entries(day.day.refused).sort((a, b) => b[1] - a[1]);
  const refusals = refused.reduce((sum, [, count]) => sum + count, 0);
  const ms = (value) => (value < 10 ? value.toFixed(1) : Math.round(value));
  $("#tiles").replaceChildren(
    tile("Seats taken", day.taken, `of ${day.seats}, ${share} %`),
    tile("Free", day.free, `${many(day.full, "section")} full`),
    tile("Kept for somebody", day.offered),
    tile("In line", day.waiting),
    tile("Done", done, Object.entries(day.day.done).map(([what, count]) => `${count} ${what}`).join(", ")),
    tile("Refused", refusals, refused.slice(0, 3).map(([code, count]) => `${count} ${code.replaceAll("_", " ")}`).join(", ")),
    done + refusals > 0
      ? tile("Answered within", `${ms(day.day.p99_ms)} ms`, `99 of 100; half within ${ms(day.day.p50_ms)} ms`)
      : tile("Answered within", "–", "nobody has pressed anything yet"),
    tile("Looking on", day.watching, `${day.day.reads} looks since ${timeOf(day.day.since)}`),
  );
  drawChart(day.day.seconds);
  $("#systems tbody").replaceChildren(
    ...Object.entries(day.systems).map(([system, now]) => {
      const health = typeof now.health === "string" ? HEALTH[now.health] ?? now.health : `slow by ${now.health.slow_ms} ms`;
      const words = now.open === 0 ? health : now.health === "up" ? `${health}; working it off` : `${health}; what waits is tried again by itself`;
      return el("tr", { "data-system": system }, el("td", {}, system), el("td", {}, words), el("td", { class: "number" }, String(now.open)), el("td", { class: "number" }, String(now.dead)));
    }),
  );
}

const SVG = "http://www.w3.org/2000/svg";
function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function drawChart(seconds) {
  const [width, height, room] = [600, 140, 120];
  const top = Math.max(1, ...seconds.map(({ done, refused }) => done + refused));
  const step = width / room;
  const bars = seconds.flatMap(({ done, refused }, at) => {
    const x = (room - seconds.length + at) * step;
    const tall = (count) => ((height - 4) * count) / top;
    const bar = (count, above, kind) => count > 0 && shape("rect", { class: kind, x, y: height - 1 - tall(above) - tall(count), width: step * 0.8, height: tall(count) });
    return [bar(done, 0, "done"), bar(refused, done, "refused")].filter(Boolean);
  });
  $("#chart").replaceChildren(shape("line", { class: "base", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }), ...bars);
  const reads = seconds.reduce((sum, second) => sum + second.reads, 0);
  $("#chart-words").textContent = `The highest second has ${many(top, "answer")}; in these two minutes somebody looked ${many(reads, "time")}.`;
}

function drawSections() {
  const words = $("#find").value.trim().toLowerCase();
  const shown = [...state.sections.values()].filter((section) => {
    const seats = state.seats.get(section.id);
    return `${section.id} ${section.title}`.toLowerCase().includes(words) && (!$("#only-line").checked || seats?.waiting > 0);
  });
  $("#sections-count").textContent = `${shown.length} of ${state.sections.size}`;
  $("#sections tbody").replaceChildren(...shown.map(row));
  for (const section of shown) drawSection(section.id);
}

const COUNTS = { taken: "Taken", offered: "Kept", free: "Free", waiting: "In line" };

function row(section) {
  const input = el("input", { type: "number", min: 0, max: 100000, "aria-label": `Seats of ${section.id}` });
  const save = async (event) => {
    event.preventDefault();
    const { ok, body } = await ask("PUT", `/api/registrar/sections/${encodeURIComponent(section.id)}`, { capacity: Number(input.value) });
    const said = $(`[data-said="${CSS.escape(section.id)}"]`);
    said.textContent = ok ? "saved" : body?.message ?? "There was no answer.";
    if (ok) {
      delete input.dataset.touched;
      heard([body]);
    }
  };
  input.addEventListener("input", () => (input.dataset.touched = "yes"));
  return el(
    "tr",
    { "data-section": section.id },
    el("td", { class: "name" }, section.id),
    el("td", { class: "title" }, section.title),
    ...Object.entries(COUNTS).map(([what, label]) => el("td", { class: "number", "data-what": what, "data-label": label })),
    el("td", { class: "number" }, el("form", { onsubmit: save }, el("span", { class: "small muted", "data-said": section.id, role: "status" }), input, el("button", { class: "button" }, "Save"))),
  );
}

function drawSection(id) {
  const tr = document.querySelector(`tr[data-section="${CSS.escape(id)}"]`);
  const seats = state.seats.get(id);
  if (!tr || !seats) return;
  for (const what of Object.keys(COUNTS)) $(`[data-what="${what}"]`, tr).textContent = seats[what];
  const input = $("input", tr);
  if (!input.dataset.touched) input.value = seats.capacity;
}

function heard(sections) {
  for (const seats of sections) {
    const before = state.seats.get(seats.section);
    if (before && before.version > seats.version) continue;
    state.seats.set(seats.section, seats);
    drawSection(seats.section);
  }
  drawOpening();
}

// ---- The opening

/** How many sections are open, and when the others open. */
function drawOpening() {
  const all = [...state.seats.values()];
  const is = (door) => all.filter((seats) => seats.door === door);
  const parts = [];
  if (is("open").length > 0) parts.push(`${many(is("open").length, "section")} open now`);
  const times = new Map();
  for (const seats of is("upcoming")) {
    const when = `at ${new Date(seats.opens_at).toLocaleString()}${seats.draws ? ", after a draw" : ""}`;
    times.set(when, (times.get(when) ?? 0) + 1);
  }
  const [most, ...others] = [...times].sort((a, b) => b[1] - a[1]);
  if (most) parts.push(`${many(most[1], "section")} to open ${most[0]}`);
  if (others.length > 0) parts.push(`${others.reduce((sum, [, count]) => sum + count, 0)} at other times`);
  if (is("closed").length > 0) parts.push(`${is("closed").length} closed`);
  $("#opening-now").textContent = `${parts.join(", ")}.`;
}

/** What would be done, from the fields as they are. */
const wanted = () => ({ opens_in_ms: Math.round(Number($("#minutes").value) * 60000), shuffle: $("#mode").value === "shuffle" });

function closeQuestion() {
  $("#opening-ask").hidden = true;
}

$("#opening").addEventListener("submit", (event) => {
  event.preventDefault();
  const open = [...state.seats.values()].filter((seats) => seats.door === "open").length;
  const waiting = [...state.seats.values()].filter((seats) => seats.waiting > 0).map((seats) => seats.section);
  const { opens_in_ms, shuffle } = wanted();
  const closes = open > 0 ? ` ${open === 1 ? "1 section that is open now is" : `${open} sections that are open now are`} closed until then.` : "";
  const line = waiting.length > 0 ? ` It will be refused: somebody stands in line for ${waiting.slice(0, 5).join(", ")}${waiting.length > 5 ? " and others" : ""}.` : "";
  $("#opening-question").textContent = `Set the opening of all ${state.sections.size} sections to ${new Date(Date.now() + opens_in_ms).toLocaleString()}${shuffle ? ", after a draw" : ""}?${closes}${line}`;
  $("#opening-said").textContent = "";
  $("#opening-ask").hidden = false;
  $("#opening-no").focus();
});

$("#opening").addEventListener("input", closeQuestion);
$("#opening-no").addEventListener("click", closeQuestion);
$("#opening-yes").addEventListener("click", async () => {
  closeQuestion();
  const { ok, body } = await ask("POST", "/api/registrar/openings", wanted());
  $("#opening-said").textContent = ok ? `${many(body.sections.length, "section")} will open at ${timeOf(body.opens_at)}.` : body?.message ?? "There was no answer.";
});

for (const id of ["find", "only-line"]) $(`#${id}`).addEventListener("input", drawSections);

async function look() {
  const { ok, body } = await ask("GET", "/api/registrar/day");
  if (ok) {
    heardNow(body.now);
    drawDay(body);
  }
  setTimeout(look, 1000);
}

async function begin() {
  const { ok, body } = await ask("GET", "/api/catalogue");
  if (!ok) {
    setTimeout(begin, 1500);
    return;
  }
  for (const section of body.sections) state.sections.set(section.id, section);
  for (const seats of body.seats.sections) state.seats.set(seats.section, seats);
  drawSections();
  drawOpening();
  watchSeats(heard);
  await look();
  document.documentElement.dataset.ready = "yes";
}

begin();
