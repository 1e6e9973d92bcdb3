// Shows the times of a page in the visitor's own zone.
const tag = document.documentElement.lang;
const FIELDS = { month: "long", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const formats = {};
/** Formats an instant, with its year if that is another one. A format is made when one is needed. */
function format(at) {
  const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  formats[year] ??= new Intl.DateTimeFormat(tag, { ...FIELDS, year });
  return formats[year].format(at);
}

for (const element of document.querySelectorAll("time[datetime]")) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  element.title = element.textContent;
  element.textContent = format(at);
}
