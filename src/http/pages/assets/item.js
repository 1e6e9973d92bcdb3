// The page of an item: asks the server, keeps what must survive a reload, and shows what button.js says.
import * as clock from "./clock.js";
import { begin, isFinal, reduce, view, wantsOrder, wantsToAsk, wantsToken } from "./button.js";
import { renew, who } from "./session.js";

const page = JSON.parse(document.getElementById("item").textContent);
const words = page.words;
const form = document.getElementById("buy-form");
const button = document.getElementById("buy");
const label = document.getElementById("buy-label");
const says = document.getElementById("says");
const live = document.getElementById("live");
const timer = document.getElementById("timer");
const quantity = document.getElementById("quantity");
const visitor = who();
const DEADLINE_MS = 8_000;
const PATIENCE_MS = 2_000;

let state = begin(page, visitor !== null);
let shownText = "";
let looking = false;
let preparing = false;
let lookingAtOrder = false;

const tell = (event) => {
  state = reduce(state, { dice: Math.random(), ...event }, clock.now());
  show();
};

// What must survive a reload, and be the same in two tabs. It may be forbidden to keep anything.
const keep = (name, value) => { try { value === null ? localStorage.removeItem(name) : localStorage.setItem(name, JSON.stringify(value)); } catch { /* only this visit then */ } };
const kept = (name) => { try { return JSON.parse(localStorage.getItem(name)); } catch { return null; } };
const units = () => Math.max(1, Number(quantity?.value) || 1);
const intentName = () => `seckill:intent:${visitor?.id}:${page.item}:${units()}`;
const orderName = () => `seckill:order:${visitor?.id}:${page.item}`;

/** Returns the key of this purchase: the same until its outcome is known. */
function key() {
  const found = kept(intentName());
  if (found?.key) return found.key;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function ask() {
  tell({ type: "sent" });
  const name = intentName();
  const mine = key();
  keep(name, { key: mine, isAsked: true });
  let event;
  try {
    const url = state.token.url ?? `/api/v1/items/${page.item}/buy`;
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": mine },
      body: JSON.stringify({ quantity: units() }),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const body = await answer.json().catch(() => null);
    if (body === null && answer.status < 500) throw new TypeError("no JSON");
    event = {
      type: "answer", status: answer.status, code: body?.code,
      retryAfterMs: Number(answer.headers.get("retry-after") ?? 1) * 1000,
      startsAt: Date.parse(body?.starts_at), requestId: body?.request_id ?? answer.headers.get("x-request-id"),
      order: answer.ok ? { id: body.order_id, expiresAt: Date.parse(body.expires_at) } : null,
    };
  } catch {
    event = { type: "lost" };
  }
  if (isFinal(event)) keep(name, null);
  if (event.order) keep(orderName(), event.order);
  tell(event);
}

async function look() {
  looking = true;
  try {
    const answer = await fetch(`/api/v1/items/${page.item}`, { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (!answer.ok) throw new TypeError(`status ${answer.status}`);
    tell({ type: "item", item: await answer.json() });
  } catch {
    tell({ type: "unreadable" });
  } finally {
    looking = false;
  }
}

/** Asks how an order stands, and forgets it once it is paid or over. */
async function orderNow({ id, expiresAt }) {
  const answer = await fetch(`/api/v1/orders/${id}`, { signal: AbortSignal.timeout(DEADLINE_MS) }).catch(() => null);
  const found = answer?.ok ? await answer.json().catch(() => null) : null;
  const status = found?.status ?? { 401: "unauthenticated", 404: "missing" }[answer?.status] ?? "unknown";
  if (!["reserved", "unauthenticated", "unknown"].includes(status)) keep(orderName(), null);
  return { status, order: { id, expiresAt: found ? Date.parse(found.expires_at) : expiresAt } };
}

/** Looks what became of the order that the button speaks of. */
async function lookAtOrder() {
  if (lookingAtOrder || state.outcome?.kind !== "bought") return;
  lookingAtOrder = true;
  tell({ type: "order", ...(await orderNow(state.outcome.order)) });
  lookingAtOrder = false;
}

async function prepare() {
  preparing = true;
  tell({ type: "preparing" });
  try {
    const { obtain } = await import("./challenge.js");
    tell(await obtain(page.item, state.item.admission, page.worker));
  } catch {
    tell({ type: "token_refused" });
  } finally {
    preparing = false;
  }
}

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
const two = (number) => String(number).padStart(2, "0");

function duration(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60];
  const clockText = `${two(hours)}:${two(minutes)}:${two(seconds % 60)}`;
  return days > 0 ? fill(words.days, { days, time: clockText }) : clockText;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const FIELDS = { time: CLOCK, turn: { ...CLOCK, fractionalSecondDigits: 1 }, day: { ...CLOCK, month: "short", day: "numeric" } };
const formats = {};
/** Formats an instant. A format is made when one is needed, because each costs a slow phone milliseconds. */
function format(kind, at) {
  formats[kind] ??= new Intl.DateTimeFormat(document.documentElement.lang, FIELDS[kind]);
  return formats[kind].format(at);
}
const isSameDay = (one, other) => new Date(one).toDateString() === new Date(other).toDateString();
const minutes = (milliseconds) => { const seconds = Math.max(0, Math.ceil(milliseconds / 1000)); return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`; };

// What the words have places for; each is worked out only where they have one.
function values(shown, now) {
  return {
    // A start on another day than today needs its day.
    get time() { return format(isSameDay(shown.start, now) ? "time" : "day", shown.start); },
    get left() { return minutes(shown.until - now); },
    get turn() { return format("turn", shown.at); },
    count: shown.count, seconds: shown.seconds, request: shown.requestId ?? "",
  };
}

const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

function show() {
  const now = clock.now();
  const shown = view(state, now);
  const filled = values(shown, now);
  write(label, fill(words[shown.text], filled));
  write(says, shown.says ? fill(words[shown.says] ?? "", filled) : "");
  const isOff = shown.action === null;
  if ((button.getAttribute("aria-disabled") === "true") !== isOff) button.setAttribute("aria-disabled", String(isOff));
  if (button.dataset.state !== shown.text) {
    button.dataset.state = shown.text;
    // What a press or the clock led to is said once; numbers that run are not.
    if (shownText) write(live, fill(words[`live_${shown.text}`] ?? words[shown.text], filled));
    shownText = shown.text;
  }
  const left = shown.start - now;
  write(timer, left > 0 ? fill(words.starts_in, { time: duration(left) }) : now < page.endsAt ? words.on_now : "");
  return { shown, left };
}

let saidAt = Infinity;
function announce(left) {
  const mark = [10_000, 60_000, 300_000].find((mark) => left > 0 && left <= mark);
  if (mark !== undefined && mark < saidAt && left > mark - 2_000) write(live, fill(words.starts_in, { time: duration(mark) }));
  if (mark !== undefined) saidAt = mark;
}

let resyncAt = null;
function tick() {
  const now = clock.now();
  clock.check();
  const { left } = show();
  announce(left);
  if (resyncAt === null && left > 90_000) resyncAt = now + left - 30_000 - Math.random() * 60_000;
  if (resyncAt !== null && now >= resyncAt && left > 25_000) { resyncAt = Infinity; clock.synchronise(); }
  if (!document.hidden && !looking && now >= state.lookAt && (state.lookAt > 0 || state.item)) look();
  if (!preparing && wantsToken(state, now)) prepare();
  if (wantsToAsk(state, now)) ask();
  if (!document.hidden && wantsOrder(state, now)) lookAtOrder();
  // Whole seconds, and the very moment at which it opens.
  const toSecond = left > 0 ? left % 1000 || 1000 : 250;
  setTimeout(tick, Math.min(Math.max(toSecond, 4), 250));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { shown } = show();
  switch (shown.action) {
    case "buy":
    case "prepare": tell({ type: "press" }); if (wantsToAsk(state, clock.now())) ask(); break;
    case "log_in": location.href = `${page.base}/login?to=${encodeURIComponent(location.pathname)}`; break;
    case "order": location.href = `${page.base}/orders/${state.outcome.order.id}`; break;
    case "orders": location.href = `${page.base}/orders`; break;
    case "reload": location.reload(); break;
    case "home": location.href = `${page.base}/`; break;
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (state.item && clock.now() >= state.lookAt) look();
  // It may have been paid or given up in another tab.
  lookAtOrder();
});
addEventListener("pageshow", (event) => { if (event.persisted) lookAtOrder(); });

/** Shows an order of before, unless it came to nothing. */
async function recall() {
  const order = kept(orderName());
  if (!visitor || !order) return;
  const now = await orderNow(order);
  if (now.status === "reserved") tell({ type: "had", order: now.order });
}

/** Goes on with a purchase whose answer never came. */
function resume() {
  if (!visitor) return;
  const prefix = `seckill:intent:${visitor.id}:${page.item}:`;
  try {
    const name = Object.keys(localStorage).find((name) => name.startsWith(prefix));
    const found = name && kept(name);
    if (!found?.isAsked) return;
    if (quantity) quantity.value = name.slice(prefix.length);
    tell({ type: "resume" });
  } catch { /* nothing was kept */ }
}

async function keepSession() {
  const left = (who()?.endsAt ?? 0) - clock.now();
  if (visitor && left < 1_800_000) await renew().catch(() => false);
}

let isTicking = false;
function begun() {
  if (isTicking) return;
  isTicking = true;
  tick();
}

show();
// A server that is slow to answer keeps nobody from trying: until it does, the device's clock counts.
const patience = setTimeout(() => { tell({ type: "unreadable" }); begun(); }, PATIENCE_MS);
clock.synchronise().then(async () => {
  await look();
  clearTimeout(patience);
  await recall();
  resume();
  begun();
  keepSession();
  setInterval(keepSession, 600_000);
});
