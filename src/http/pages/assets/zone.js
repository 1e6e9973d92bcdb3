// In which zone the console shows times: the shop's, this device's, or UTC. It is chosen once, for texts and for
// the axes of charts alike, and kept for the other pages.
const select = document.getElementById("zone");
const tag = document.documentElement.lang;
// Dates as the shop writes them itself.
const DATE = tag.startsWith("zh")
  ? { tag, fields: { year: "numeric", month: "long", day: "numeric" } }
  : { tag: "sv-SE", fields: { year: "numeric", month: "2-digit", day: "2-digit" } };
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit" };

const chosen = () => select?.value ?? "utc";

/** Returns what writes an instant, in milliseconds since 1970, in the chosen zone. */
export function formatter(fields, locale = tag) {
  const isOwn = chosen() === "own";
  const shift = chosen() === "shop" ? Number(select.dataset.offset) * 60_000 : 0;
  const format = new Intl.DateTimeFormat(locale, { ...fields, hourCycle: "h23", timeZone: isOwn ? undefined : "UTC" });
  return (at) => format.format(at + shift);
}

/** Returns the name of the chosen zone. */
export function zoneName() {
  if (chosen() === "shop") return select.dataset.name;
  if (chosen() === "utc") return "UTC";
  const parts = new Intl.DateTimeFormat(tag, { timeZoneName: "short" }).formatToParts();
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "";
}

/** Shows a `time` element in the chosen zone. */
export function show(element) {
  element.dataset.shop ??= element.textContent;
  const at = Date.parse(element.dateTime);
  if (chosen() === "shop" || Number.isNaN(at)) { element.textContent = element.dataset.shop; return; }
  element.textContent = `${formatter({ ...DATE.fields, ...TIME }, DATE.tag)(at)} ${zoneName()}`;
}

function showAll() {
  document.querySelectorAll("time[datetime]").forEach(show);
  document.dispatchEvent(new Event("zone"));
}

if (select) {
  try { select.value = localStorage.getItem("zone") ?? "shop"; } catch { /* As it is. */ }
  if (select.selectedIndex < 0) select.value = "shop";
  select.closest("label").hidden = false;
  select.addEventListener("change", () => {
    try { localStorage.setItem("zone", select.value); } catch { /* It is chosen for this page then. */ }
    showAll();
  });
  showAll();
}
