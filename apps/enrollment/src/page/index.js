import { $, ask, el } from "/common.js";

const people = $("#people");
let latest = 0;

async function show() {
  const mine = (latest += 1);
  const { body } = await ask("GET", `/api/students?find=${encodeURIComponent($("#find").value.trim())}`);
  if (!body || mine !== latest) return;
  const shown = body.students.slice(0, 12);
  people.replaceChildren(
    ...shown.map(({ id, name }) => el("a", { href: `/students/${id}` }, el("strong", {}, name), " ", el("span", { class: "muted" }, id))),
  );
  $("#found").textContent = `${body.students.length > shown.length ? "Some" : "All that match"} of ${body.of} students`;
}

$("#find").addEventListener("input", show);
$("#who").addEventListener("submit", (event) => {
  event.preventDefault();
  const first = people.querySelector("a");
  if (first) location.href = first.href;
});
show();
