// The page of an order: counts down what is left to pay, and shows the order anew when it has changed.
import * as clock from "./clock.js";

const page = JSON.parse(document.getElementById("order").textContent);
const timer = document.getElementById("timer");
const live = document.getElementById("live");
const POLL_MS = 5_000;
const STREAM_AGAIN_MS = 60_000;

const two = (number) => String(number).padStart(2, "0");
function left() {
  const seconds = Math.max(0, Math.ceil((page.expiresAt - clock.now()) / 1000));
  return { seconds, text: `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}` };
}

let saidAt = Infinity;
function tick() {
  clock.check();
  const { seconds, text } = left();
  const shown = seconds > 0 ? page.words.left.replace("{time}", text) : page.words.over;
  if (timer.textContent !== shown) timer.textContent = shown;
  const mark = [0, 60, 300].find((mark) => seconds <= mark);
  if (mark !== undefined && mark < saidAt) { live.textContent = shown; saidAt = mark; }
  setTimeout(tick, 250);
}

// A form that was sent leads to a page that says once what came of it: this page, fetched anew in between,
// would have said it to nobody. (`form.js` marks what was sent.)
const sent = () => [...document.forms].some((form) => form.dataset.sent);
const anew = () => { if (!sent()) location.reload(); };

// The page itself says how the order stands, so it is fetched anew.
const changed = (order) => { if (order.status !== page.status) anew(); };

function follow() {
  const events = new EventSource(`/api/v1/orders/${page.order}/events`);
  events.addEventListener("order", (event) => changed(JSON.parse(event.data)));
  // The session is over: the page leads to the log-in, and back.
  events.addEventListener("end", () => { events.close(); anew(); });
  events.onerror = () => {
    // Closed for good: the server has no place for another stream, or there is nothing more to come.
    if (events.readyState !== EventSource.CLOSED) return;
    const until = clock.now() + STREAM_AGAIN_MS;
    const poll = async () => {
      const answer = await fetch(`/api/v1/orders/${page.order}`, { signal: AbortSignal.timeout(8_000) }).catch(() => null);
      if (answer?.ok) changed(await answer.json());
      if (clock.now() > until) follow();
      else setTimeout(poll, POLL_MS * (0.5 + Math.random()));
    };
    setTimeout(poll, POLL_MS * Math.random());
  };
}

if (page.status === "reserved") {
  clock.synchronise().then(tick);
  follow();
}
