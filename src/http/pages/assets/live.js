// The live figures: what the shop sends each second, put where the page has places for it. A page that is
// not seen closes its stream; figures that are old turn grey and say when they were heard.
import { Chart } from "./chart.js";
import { formatter, zoneName } from "./zone.js";

const root = document.getElementById("live");
const words = JSON.parse(document.getElementById("live-words").textContent);
const switches = document.getElementById("switches");
const heard = document.getElementById("heard");
const STALE_AFTER = 3000;
const COUNTS = { "5m": 300, "1h": 600, "24h": 480 };

const number = new Intl.NumberFormat(words.tag, { maximumFractionDigits: 0 });
let stream = null;
let columns = null;
let lastAt = 0;
let lastHeard = 0;
let clock;

const charts = [...document.querySelectorAll("[data-chart]")].map((element) => {
  const lines = element.dataset.chart.split(/ (?=[a-z0-9_]+:)/).map((line) => {
    const end = line.indexOf(":");
    return [line.slice(0, end), line.slice(end + 1)];
  });
  return new Chart(element, lines);
});

function chosen(name, otherwise) {
  return switches?.elements[name]?.value || otherwise;
}

function setClock() {
  const whole = formatter({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const minute = formatter({ hour: "2-digit", minute: "2-digit" });
  clock = {
    whole: (at) => `${whole(at * 1000)} ${zoneName()}`,
    axis: (at) => (chosen("range", "5m") === "5m" ? whole : minute)(at * 1000),
  };
}

function figure(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return number.format(value);
  return value.toFixed(size >= 10 ? 1 : 2);
}

// Texts change only where they differ, so that a reader's place and selection stay.
function put(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function cell(kind, text, className) {
  const element = document.createElement(kind);
  element.textContent = text;
  if (className) element.className = className;
  if (kind === "th") element.scope = "row";
  return element;
}

// Fills a table's or a list's rows, each from what it is keyed by, and takes away those that are gone.
function fill(body, entries, key, make, change) {
  if (!body) return;
  const known = new Map([...body.children].filter((row) => row.dataset.key).map((row) => [row.dataset.key, row]));
  const rows = entries.map((entry) => {
    const row = known.get(key(entry)) ?? make(entry);
    row.dataset.key = key(entry);
    change(row, entry);
    return row;
  });
  const isSame = rows.length === body.children.length && rows.every((row, place) => body.children[place] === row);
  if (!isSame) body.replaceChildren(...rows);
}

function showItems(items) {
  const body = document.getElementById("items");
  const make = () => {
    const row = document.createElement("tr");
    const title = cell("th", "");
    title.append(document.createElement("bdi"));
    const state = document.createElement("td");
    state.append(cell("span", "", "badge"));
    row.append(title, state, ...[1, 2, 3, 4].map(() => cell("td", "", "number")), cell("td", ""), cell("td", ""));
    return row;
  };
  fill(body, items, (item) => item.id, make, (row, item) => {
    const cells = row.children;
    put(cells[0].firstElementChild, item.title);
    const badge = cells[1].firstElementChild;
    put(badge, words.states[item.state] ?? item.state);
    badge.className = `badge ${{ live: "good", paused: "warn", quarantined: "bad" }[item.state] ?? ""}`;
    [item.available, item.reserved, item.sold, item.allotted].forEach((units, place) => put(cells[2 + place], number.format(units)));
    put(cells[6], item.balances ? "✔" : "✘");
    cells[6].className = item.balances ? "good" : "bad";
    put(cells[7], words.witnesses[item.witness] ?? "");
    cells[7].className = { agrees: "good", differs: "bad" }[item.witness] ?? "";
  });
  const empty = document.getElementById("no-items");
  if (empty) empty.hidden = items.length > 0;
}

function showRefusals(refusals) {
  const make = () => {
    const row = document.createElement("tr");
    row.append(cell("th", ""), cell("td", "", "number"));
    return row;
  };
  fill(document.getElementById("refusals"), refusals, (refusal) => refusal.code, make, (row, refusal) => {
    put(row.children[0], words.codes[refusal.code] ?? refusal.code);
    put(row.children[1], number.format(refusal.total));
  });
  const none = document.getElementById("no-refusals");
  if (none) none.hidden = refusals.length > 0;
}

function showDependencies(dependencies) {
  const make = () => {
    const row = document.createElement("li");
    row.append(cell("strong", ""), " ", cell("span", "", "fine"), " ", cell("span", ""));
    return row;
  };
  fill(document.getElementById("dependencies"), dependencies, (dependency) => dependency.name, make, (row, dependency) => {
    const name = words.dependencies[dependency.name] ?? dependency.name;
    put(row.children[0], `${dependency.healthy ? "✔" : "✘"} ${name}`);
    put(row.children[1], dependency.kind);
    put(row.children[2], dependency.meaning[words.language]);
    row.className = dependency.healthy ? "good" : "bad";
  });
}

function showFunnel(values) {
  const widest = Math.max(1, values.requests ?? 0);
  for (const element of document.querySelectorAll("[data-funnel]")) {
    const value = values[element.dataset.funnel] ?? 0;
    put(element, figure(values[element.dataset.funnel]));
    element.style.setProperty("--share", String(Math.min(1, value / widest)));
  }
}

function show(look) {
  lastAt = look.at;
  lastHeard = performance.now();
  root.classList.remove("stale");
  put(heard, clock.whole(look.at));
  const verdict = document.getElementById("verdict");
  verdict.className = `verdict ${look.level}`;
  put(verdict.firstElementChild, look.verdict[words.language]);
  const sums = document.getElementById("sums");
  put(sums, look.balances ? `✔ ${words.yes}` : `✘ ${words.no}`);
  sums.className = look.balances ? "good" : "bad";
  for (const element of document.querySelectorAll("[data-figure]")) put(element, figure(look.values[element.dataset.figure]));
  showFunnel(look.values);
  showItems(look.items);
  showRefusals(look.refusals);
  showDependencies(look.dependencies);
  append(look);
}

function takeHistory(history) {
  const names = Object.keys(history.series);
  const length = history.series[names[0]]?.length ?? 0;
  const follows = columns && columns.step === history.step && columns.from + columns.count * columns.step === history.from;
  if (!follows) {
    columns = { from: history.from, step: history.step, count: length, series: history.series };
  } else {
    for (const name of names) columns.series[name] = [...(columns.series[name] ?? []), ...history.series[name]];
    columns.count += length;
    trim();
  }
  draw();
}

// Adds a look to the columns: each second its own where a point is a second, else to the last one.
function append(look) {
  if (!columns) return;
  const place = Math.floor((look.at - columns.from) / columns.step);
  if (place < 0) return;
  for (const [name, value] of Object.entries(look.values)) {
    const column = columns.series[name] ??= [];
    while (column.length < place) column.push(null);
    column[place] = value ?? column[place] ?? null;
  }
  columns.count = Math.max(columns.count, place + 1);
  trim();
  draw();
}

function trim() {
  const surplus = columns.count - COUNTS[chosen("range", "5m")];
  if (surplus <= 0) return;
  for (const column of Object.values(columns.series)) column.splice(0, surplus);
  columns.from += surplus * columns.step;
  columns.count -= surplus;
}

function draw() {
  for (const chart of charts) chart.draw(columns, clock.axis);
}

function open() {
  close();
  if (document.hidden) return;
  stream = new EventSource(`${root.dataset.live}?range=${chosen("range", "5m")}`);
  stream.addEventListener("history", (event) => takeHistory(JSON.parse(event.data)));
  stream.addEventListener("figures", (event) => show(JSON.parse(event.data)));
  // The session is over: the page leads to the log-in, and back.
  stream.addEventListener("end", () => { close(); location.reload(); });
  stream.onerror = () => {
    // A refusal ends the stream for good; another attempt may find the shop again.
    if (stream?.readyState === EventSource.CLOSED) setTimeout(open, 3000 + Math.random() * 2000);
  };
}

function close() {
  stream?.close();
  stream = null;
}

setInterval(() => {
  if (performance.now() - lastHeard <= STALE_AFTER) return;
  root.classList.add("stale");
  put(heard, lastAt ? words.last_heard.replace("{time}", clock.whole(lastAt)) : words.connecting);
}, 500);

switches?.addEventListener("change", () => { columns = null; open(); });
document.addEventListener("zone", () => { setClock(); if (columns) draw(); });
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);

if (switches) switches.hidden = false;
setClock();
open();
