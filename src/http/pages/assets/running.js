// The figures of a sale that runs, looked up every two seconds while the page is seen. Those that are older
// turn grey, with the time of the last that came.
import { show } from "./zone.js";

const table = document.getElementById("figures");
const asOf = document.querySelector("#as-of time");
const PERIOD = 2_000;

async function look() {
  const answer = await fetch(table.dataset.source, { signal: AbortSignal.timeout(5_000), redirect: "error" });
  if (!answer.ok) throw new Error(String(answer.status));
  const { at, machine, items } = await answer.json();
  for (const figures of items) {
    const row = table.querySelector(`tr[data-item="${figures.item}"]`);
    if (!row) continue;
    for (const field of ["state", "available", "reserved", "sold", "allotted"]) {
      row.querySelector(`[data-field="${field}"]`).textContent = figures[field];
    }
    row.querySelector('[data-field="state"]').className = `badge ${figures.badge}`;
    const [sign, word] = row.querySelector('[data-field="sum"]').children;
    sign.textContent = figures.adds_up ? "✔" : "✘";
    sign.className = `sign ${figures.adds_up ? "good" : "bad"}`;
    word.textContent = figures.adds_up ? table.dataset.good : table.dataset.bad;
  }
  asOf.dateTime = machine;
  asOf.dataset.shop = at;
  show(asOf);
}

async function follow() {
  for (;;) {
    await new Promise((done) => setTimeout(done, PERIOD));
    if (document.hidden) continue;
    try {
      await look();
      table.classList.remove("stale");
    } catch {
      table.classList.add("stale");
    }
  }
}
if (table) follow();
