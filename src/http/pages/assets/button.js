// What the buy button says and does: a pure function of what has happened. It asks nobody and shows nothing;
// item.js does. Times are milliseconds of the server's clock, and chance comes in as `dice`, from 0 to 1.

const BUSY_FACTOR = 1.6;
const BUSY_SUM_MAX_MS = 30_000;
const CHECK_WAIT_MAX_MS = 10_000;
const START_SPREAD_MS = 200;
const PATIENCE_MS = 2_000;
const ORDER_AGAIN_MS = 2_000;
const SOLD_FOR_GOOD_LOOK_MS = 120_000;

/** Answers after which the same request is sent again, because nothing was decided. */
const BUSY = new Set(["overloaded", "owner_unavailable", "shutting_down", "records_unavailable", "log_unavailable"]);

/** Returns the state of a page that was just opened. `page` is what its HTML says of the item. */
export function begin(page, isBuyer) {
  return {
    page, isBuyer, item: null, isUnreadable: false, outcome: null, request: null, startTries: 0,
    coolUntil: 0, note: null, lookAt: 0,
    token: { phase: "none", tries: 0, reason: null, url: null, opensAt: 0 },
  };
}

/** Returns the state after an event. */
export function reduce(state, event, now) {
  switch (event.type) {
    case "item": return withItem(state, event.item, now);
    case "unreadable": return { ...state, isUnreadable: true, lookAt: afterTheStart(state, now + 5_000 + 5_000 * event.dice, now) };
    case "press": return pressed(state, now);
    case "resume": return ask(state, "checking", now, 0, 0);
    case "had": return { ...state, outcome: bought(event.order) };
    case "order": return withOrder(state, event, now);
    case "sent": return { ...state, request: { ...state.request, sentAt: now } };
    case "answer": return answered({ ...state, request: null, lastRequest: state.request }, event, now);
    case "lost": return again(state, "checking", now, event);
    case "preparing": return { ...state, token: { ...state.token, phase: "getting" } };
    case "token": return { ...state, token: { ...state.token, phase: "have", url: event.url, opensAt: event.opensAt, reason: null } };
    case "token_refused": return tokenRefused(state, event, now);
    default: return state;
  }
}

function withItem(state, item, now) {
  const isGone = item.counters.available === 0 && item.counters.reserved === 0;
  const wait = isGone ? SOLD_FOR_GOOD_LOOK_MS : item.refresh_after_ms;
  const outcome = state.outcome && ["sold_out", "paused", "ended", "failed"].includes(state.outcome.kind) ? null : state.outcome;
  const known = { ...state, item, isUnreadable: false, outcome };
  return { ...known, lookAt: afterTheStart(known, now + wait, now) };
}

/** An order that is to be paid. How it stands is looked at when its time is over. */
const bought = (order) => ({ kind: "bought", order, lookAt: order.expiresAt });

/** What became of the order: paid, or over, and then the button goes by the ordinary rules again. `status` is
    `unknown` where it could not be read. */
function withOrder(state, { order, status, dice = 0 }, now) {
  if (state.outcome?.kind !== "bought" || state.outcome.order.id !== order.id) return state;
  if (status === "reserved" || status === "unknown") {
    const again = now + ORDER_AGAIN_MS * (1 + dice);
    return { ...state, outcome: { kind: "bought", order, lookAt: Math.max(order.expiresAt, again) } };
  }
  if (status === "unauthenticated") return { ...state, outcome: null, isBuyer: false };
  if (status === "paid") return { ...state, outcome: { kind: "paid", order } };
  const notes = { cancelled: "given_up", expired: "lapsed" };
  // A token is good for one order.
  const token = { phase: "none", tries: 0, reason: null, url: null, opensAt: 0 };
  return { ...state, outcome: null, note: notes[status] ?? null, token, lookAt: now };
}

/** Returns whether it is time to look how the order stands. */
export function wantsOrder(state, now) {
  return state.outcome?.kind === "bought" && now >= state.outcome.lookAt;
}

/** Puts off a look that would be just before the start or at it: all that travels then are purchases. */
function afterTheStart(state, at, now) {
  const start = startsAt(state);
  const isCrowded = now < start && at > start - 60_000 && at < start + 2_000;
  return isCrowded ? start + 2_000 + (at % 3_000) : at;
}

function ask(state, reason, at, attempt, waited) {
  return { ...state, outcome: null, note: null, request: { reason, at, attempt, waited, sentAt: null } };
}

function pressed(state, now) {
  const shown = view(state, now);
  if (shown.action === "prepare") return { ...state, outcome: null, token: { ...state.token, phase: "none", tries: 0, reason: null } };
  return shown.action === "buy" ? ask(state, "press", now, 0, 0) : state;
}

/** Sends the same request again, later each time. */
function again(state, reason, now, { dice, retryAfterMs = 1_000 }) {
  const last = state.request ?? state.lastRequest ?? { attempt: 0, waited: 0 };
  const isSame = last.reason === reason;
  const attempt = isSame ? last.attempt + 1 : 0;
  let wait = retryAfterMs * (1 + dice) * BUSY_FACTOR ** attempt;
  const waited = (isSame ? last.waited : 0) + wait;
  if (reason === "busy" && waited > BUSY_SUM_MAX_MS) {
    return { ...state, request: null, outcome: { kind: "failed", busy: true } };
  }
  if (reason === "checking") wait = Math.min(wait, CHECK_WAIT_MAX_MS);
  return ask(state, reason, now + wait, attempt, waited);
}

function answered(state, event, now) {
  const { status, code } = event;
  const ends = (outcome) => ({ ...state, outcome });
  if (status === 200 || status === 201) return ends(bought(event.order));
  if (BUSY.has(code)) return again(state, "busy", now, event);
  if (code === "outcome_unknown" || status === 502 || status === 504) return again(state, "checking", now, event);
  if (code?.startsWith("buy_token_") || code?.startsWith("challenge_")) return tokenRefused(state, event, now);
  switch (code) {
    case "unauthenticated": return { ...state, isBuyer: false };
    case "sale_not_started": return notStarted(state, event);
    case "sold_out": return { ...ends({ kind: "sold_out" }), lookAt: now };
    case "limit_reached": return ends({ kind: "limit" });
    case "attempts_exhausted": return ends({ kind: "exhausted" });
    case "sale_paused":
    case "journal_damaged":
    case "item_quarantined": return { ...ends({ kind: "paused" }), lookAt: now + 5_000 };
    case "sale_ended": return ends({ kind: "ended" });
    case "rate_limited": return { ...state, coolUntil: now + (event.retryAfterMs ?? 3_000) };
    case "not_admitted": return ends({ kind: "not_admitted" });
    case "idempotency_key_reused": return { ...state, note: "key_reused" };
    default: return ends({ kind: "failed", requestId: event.requestId });
  }
}

/** Asks once by itself when the sale starts; who pressed early need not press again. */
function notStarted(state, event) {
  if (state.startTries > 0) return state;
  const at = event.startsAt + START_SPREAD_MS * event.dice;
  return { ...ask(state, "start", at, 0, 0), startTries: 1 };
}

function tokenRefused(state, event, now) {
  const { tries } = state.token;
  const token = { ...state.token, url: null, opensAt: 0 };
  if (event.code === "not_admitted") return { ...state, request: null, outcome: { kind: "not_admitted" } };
  if (event.code === "unauthenticated") return { ...state, request: null, isBuyer: false, token: { ...token, phase: "none" } };
  if (event.code === "buy_token_not_open") return { ...state, request: null, token: { ...token, phase: "none", notBefore: event.opensAt } };
  if (event.reason === "insecure") return { ...state, request: null, token: { ...token, phase: "failed", reason: event.reason } };
  const isFirst = tries < 1;
  return {
    ...state, request: null,
    token: { ...token, tries: tries + 1, phase: isFirst ? "none" : "failed", notBefore: now + 1_000 * (event.dice ?? 0) },
  };
}

/** Returns whether a buy token is to be fetched now. */
export function wantsToken(state, now) {
  const admission = state.item?.admission;
  if (!state.isBuyer || !admission?.buy_token || state.token.phase !== "none") return false;
  if (now >= endsAt(state) || ["bought", "paid"].includes(state.outcome?.kind)) return false;
  return now >= Math.max(Date.parse(admission.tokens_from), state.token.notBefore ?? 0);
}

/** Returns whether the request that is due is to be sent now. */
export function wantsToAsk(state, now) {
  return Boolean(state.request) && state.request.sentAt === null && now >= state.request.at;
}

const startsAt = (state) => (state.item ? Date.parse(state.item.starts_at) : state.page.startsAt);
const endsAt = (state) => (state.item ? Date.parse(state.item.ends_at) : state.page.endsAt);

/** Returns what is shown: `text` on the button, `says` below it, what a press does (`action`, null if nothing)
    and what the words need. */
export function view(state, now) {
  const { item, page, outcome, request, token } = state;
  const start = startsAt(state);
  const off = (text, says = null, more = {}) => ({ text, says, action: null, start, ...more });
  const on = (text, action, says = null, more = {}) => ({ text, says, action, start, ...more });
  if (item && item.revision !== page.revision) return on("changed", "reload", "says_changed");
  if (outcome?.kind === "bought" && now >= outcome.order.expiresAt) return off("time_over");
  if (outcome?.kind === "paid") return on("paid", "order", "says_paid");
  if (outcome?.kind === "bought") return on("bought", "order", "says_bought", { until: outcome.order.expiresAt });
  if (request) return viewOfRequest(state, now, off);
  if (outcome?.kind === "limit") return on("limit", "orders", "says_limit");
  if (outcome?.kind === "exhausted") return on("exhausted", "orders", "says_exhausted");
  if (outcome?.kind === "not_admitted") return off("not_admitted", "says_not_admitted");
  if (outcome?.kind === "ended" || item?.state === "ended" || now >= endsAt(state)) return on("ended", "home", "says_ended");
  if (!state.isBuyer) return on("guest", "log_in", now < start ? "says_guest" : null);
  if (!item && !state.isUnreadable) return off("loading");
  if (outcome?.kind === "paused" || item?.state === "paused") return off("paused", "says_paused");
  const isGuarded = Boolean(item?.admission?.buy_token);
  if (now < start) {
    if (token.phase === "getting") return off("lead");
    if (token.phase === "failed") return viewOfFailedToken(token, on, off);
    return off("upcoming", token.phase === "have" ? "says_prepared" : null);
  }
  const isSoldOut = outcome?.kind === "sold_out" || item?.state === "sold_out";
  if (isSoldOut) return off("sold_out", item?.counters.reserved > 0 ? "says_unpaid" : "says_gone", { count: item?.counters.reserved ?? 0 });
  if (isGuarded && token.phase !== "have") {
    return token.phase === "failed" ? viewOfFailedToken(token, on, off) : off(token.tries > 0 ? "prepare_again" : "lead");
  }
  if (isGuarded && now < token.opensAt) return off("slot", "says_slot", { at: token.opensAt });
  if (now < state.coolUntil) return off("too_fast", null, { seconds: Math.ceil((state.coolUntil - now) / 1000) });
  if (outcome?.kind === "failed") return on("failed", "buy", outcome.busy ? "says_still_busy" : "says_failed", { requestId: outcome.requestId });
  return on("open", "buy", state.note && `says_${state.note}`);
}

function viewOfRequest({ request }, now, off) {
  if (request.reason === "checking") return off("checking", "says_checking");
  if (request.reason === "busy") return off("busy", "says_busy");
  if (request.sentAt === null && request.reason === "start") return off("upcoming", "says_early");
  const isLong = request.sentAt !== null && now - request.sentAt >= PATIENCE_MS;
  return off("asking", isLong ? "says_patience" : null);
}

function viewOfFailedToken(token, on, off) {
  if (token.reason) return off("cannot_prepare", `says_${token.reason}`);
  return on("prepare_by_hand", "prepare", "says_prepare_failed");
}

/** Returns whether the same key has to be used again: nothing final was answered. */
export function isFinal(event) {
  if (event.type !== "answer") return false;
  const { status, code } = event;
  const isOpen = BUSY.has(code) || status === 502 || status === 504
    || ["outcome_unknown", "sale_not_started", "rate_limited", "unauthenticated"].includes(code);
  return !isOpen;
}
