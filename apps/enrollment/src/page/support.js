// Support's page: one student's whole story, and what will happen next for everything that is not done.

import { $, ask, el, heardNow, hours, many, span, server, timeOf } from "/common.js";

let student = decodeURIComponent(location.pathname.split("/")[2] ?? "");

const time = (at) => el("time", { datetime: new Date(at).toISOString(), title: new Date(at).toLocaleString() }, timeOf(at));

function draw(story) {
  $("#story").hidden = false;
  $("#name").textContent = `${story.student.name} (${story.student.id})`;
  $("#facts").textContent = `at most ${story.student.credits_max} credits; completed ${story.student.completed.join(", ") || "nothing"}`;
  $("#summary").textContent = story.summary;

  // What is not done comes first: that is what people call about.
  const steps = [...story.steps].sort((a, b) => a.since - b.since);
  const [open, done] = [steps.filter((step) => step.state !== "done"), steps.filter((step) => step.state === "done")];
  const shown = (step) => el("li", { "data-state": step.state, "data-system": step.system, "data-undoes": step.undoes }, time(step.since), el("span", {}, step.section && el("strong", {}, `${step.section} · `), step.words));
  $("#steps-none").hidden = open.length > 0;
  $("#steps-none").textContent = story.away ? "What follows cannot be looked up just now." : done.length > 0 ? "Everything that follows is done." : "Nothing follows from anything yet.";
  $("#steps").replaceChildren(...open.map(shown));
  $("#steps-done").hidden = done.length === 0;
  $("#steps-done-count").textContent = `${many(done.length, "step")} done`;
  $("#steps-done ol").replaceChildren(...done.map(shown));
  $("#retry").hidden = !steps.some((step) => step.state === "dead");

  const has = [
    ...story.enrolments.map((one) => el("li", {}, el("div", {}, el("strong", {}, one.title), el("div", { class: "muted" }, `${one.section} · ${hours(one.meetings)}`)), el("span", { class: "muted" }, "since ", time(one.since)))),
    ...story.offers.map((offer) => el("li", {}, el("div", {}, el("strong", {}, `${offer.section} is kept`), el("div", { class: "muted" }, `for ${span(offer.until - server.now())} more; if it is not accepted, it goes on`)))),
    ...story.places.map((place) =>
      el("li", {}, el("div", {}, el("strong", {}, `in line for ${place.section}`), el("div", { class: "muted" }, place.ahead === null ? "the order is drawn at the opening" : `${place.ahead} before; ${place.estimate?.how ?? ""}`))),
    ),
  ];
  $("#has").replaceChildren(...(has.length > 0 ? has : [el("li", { class: "muted" }, "No seat, no offer, no place in line.")]));

  $("#events").replaceChildren(
    ...story.events.map((event) =>
      el("li", { "data-what": event.what }, time(event.at), el("span", {}, event.words, event.until ? `, until ${timeOf(event.until)}` : "", event.version ? el("span", { class: "muted small" }, ` (version ${event.version})`) : null)),
    ),
  );
  const rows = Object.entries(story.books).flatMap(([system, book]) =>
    typeof book === "string"
      ? [el("tr", {}, el("td", {}, system), el("td", { colspan: 3 }, book))]
      : book.map((row) => el("tr", { "data-book": system }, el("td", {}, system), el("td", {}, row.section), el("td", {}, row.text, " ", time(row.at)), el("td", {}, row.undone ? `${row.undone[0]} ` : "", row.undone ? time(row.undone[1]) : ""))),
  );
  const notices = story.notices.map((notice) => el("tr", { "data-book": "notice" }, el("td", {}, "mail"), el("td"), el("td", {}, notice.text, " ", time(notice.at)), el("td")));
  $("#books").replaceChildren(...rows, ...notices);
}

let latest = 0;

/** Looks, and goes on looking while the page is open. */
async function look() {
  const mine = (latest += 1);
  if (!student) return;
  const { ok, body } = await ask("GET", `/api/support/${encodeURIComponent(student)}`);
  if (mine !== latest) return;
  if (ok) {
    heardNow(body.now);
    $("#said").textContent = body.away ? `${body.away} As of ${timeOf(body.as_of)}.` : "";
    draw(body);
    document.documentElement.dataset.ready = "yes";
  } else {
    $("#said").textContent = body?.message ?? "There was no answer; it is asked again.";
    if (body?.code === "no_student") {
      $("#story").hidden = true;
      return;
    }
  }
  setTimeout(() => mine === latest && look(), 1000);
}

$("#who").addEventListener("submit", (event) => {
  event.preventDefault();
  student = $("#find").value.trim();
  if (!student) return;
  history.pushState(null, "", `/support/${encodeURIComponent(student)}`);
  look();
});
$("#retry").addEventListener("click", async () => {
  const { ok, body } = await ask("POST", `/api/support/${encodeURIComponent(student)}/retry`);
  if (!ok) $("#said").textContent = body?.message ?? "There was no answer.";
  look();
});

$("#find").value = student;
look();
