// The server's clock. The device's own may be wrong, may be set, and may stop while the device sleeps.

const LOOK_AGAIN_ABOVE_MS = 150;
const DRIFT_MAX_MS = 250;
const BETWEEN_LOOKS_MS = 5_000;

/** What to add to performance.now(); null until the server was asked. */
let offset = null;
/** What Date.now() was ahead of performance.now() then. */
let ahead = Date.now() - performance.now();
let lookedAt = -Infinity;
let looking = null;

/** Returns the server's time in milliseconds since 1970; the device's until the server was asked. */
export function now() {
  return offset === null ? Date.now() : performance.now() + offset;
}

/** Returns whether the server was asked. */
export function isKnown() {
  return offset !== null;
}

async function look() {
  const sentAt = performance.now();
  const answer = await fetch("/api/v1/time", { cache: "no-store", signal: AbortSignal.timeout(8_000) });
  const { unix_ms } = await answer.json();
  const roundTrip = performance.now() - sentAt;
  return { roundTrip, offset: unix_ms + roundTrip / 2 - performance.now() };
}

async function lookTwice() {
  const looks = [await look()];
  looks.push(await look());
  if (Math.min(...looks.map((look) => look.roundTrip)) > LOOK_AGAIN_ABOVE_MS) looks.push(await look());
  // The shortest way is the one whose middle is known best.
  offset = looks.reduce((best, look) => (look.roundTrip < best.roundTrip ? look : best)).offset;
  ahead = Date.now() - performance.now();
}

/** Asks the server for the time. Resolves when it is known, or could not be learnt. */
export function synchronise() {
  if (looking) return looking;
  lookedAt = performance.now();
  looking = lookTwice().catch(() => {}).finally(() => { looking = null; });
  return looking;
}

/** Asks again if the device slept or its clock was set. */
export function check() {
  const drift = Math.abs(Date.now() - performance.now() - ahead);
  if (drift > DRIFT_MAX_MS && performance.now() - lookedAt > BETWEEN_LOOKS_MS) synchronise();
}

addEventListener("pageshow", (event) => { if (event.persisted) synchronise(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) check(); });
