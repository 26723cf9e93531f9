import { $, ask, el } from "/common.js";

const people = $("#people");
let latest = 0;

/** Shows who is called like what stands in the field, and returns them; nothing if something else stands there by now. */
async function show() {
  const mine = (latest += 1);
  const { ok, body } = await ask("GET", `/api/students?find=${encodeURIComponent($("#find").value.trim())}`);
  if (mine !== latest) return null;
  if (!ok) {
    $("#found").textContent = body?.message ?? "There was no answer.";
    return null;
  }
  const shown = body.students.slice(0, 12);
  people.replaceChildren(
    ...shown.map(({ id, name }) => el("a", { href: `/students/${id}` }, el("strong", {}, name), " ", el("span", { class: "muted" }, id))),
  );
  $("#found").textContent = `${body.students.length > shown.length ? "Some" : "All that match"} of ${body.of} students`;
  return body.students;
}

$("#find").addEventListener("input", show);
$("#who").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = $("#find").value.trim().toLowerCase();
  // The list may be that of an earlier word: who is meant is looked up now.
  const found = await show();
  if (!found) return;
  const one = found.find(({ id, name }) => id.toLowerCase() === words || name.toLowerCase() === words) ?? (found.length === 1 ? found[0] : null);
  if (one) location.href = `/students/${encodeURIComponent(one.id)}`;
  else $("#found").textContent = found.length === 0 ? `Nobody is called “${$("#find").value.trim()}”.` : "Several are called so. Choose one.";
});
show();
