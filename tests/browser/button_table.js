// The table of the button's states: what has happened, and what the button says and does then. `button` is the
// module; the value is a list of what is wrong.
(button) => {
  const { begin, reduce, view, wantsOrder, wantsToAsk, wantsToken, isFinal } = button;
  const START = 1_000_000_000_000, END = START + 3_600_000;
  const iso = (ms) => new Date(ms).toISOString();
  const page = { revision: "r1", startsAt: START, endsAt: END };
  const item = (more = {}) => ({
    type: "item",
    item: {
      revision: "r1", state: "live", starts_at: iso(START), ends_at: iso(END), refresh_after_ms: 5_000,
      counters: { allotted: 10, available: 5, reserved: 2, sold: 3 }, ...more,
    },
  });
  const guarded = (more = {}) => item({
    admission: { buy_token: true, challenge: "proof", tokens_from: iso(START - 60_000), lead_seconds: 60, spread_milliseconds: 2_000 },
    ...more,
  });
  const answer = (status, code, more = {}) => ({ type: "answer", status, code, dice: 0.5, retryAfterMs: 1_000, ...more });
  const order = { id: "1", expiresAt: START + 600_000 };
  const press = { type: "press" }, sent = { type: "sent" }, lost = { type: "lost", dice: 0.5 };
  const asked = [item(), press, sent];
  const stands = (status, more = {}) => ({ type: "order", order, status, dice: 0.5, ...more });
  const held = [...asked, answer(201, undefined, { order })];
  const token = { type: "token", url: "/t", opensAt: START };

  // name; whether a buyer looks; when, from the start; what happened; text, sentence and action.
  const table = [
    ["loading", true, 1, [], "loading", null, null],
    ["unreadable: by the clock", true, 1, [{ type: "unreadable", dice: 0 }], "open", null, "buy"],
    ["unreadable before the start", true, -1000, [{ type: "unreadable", dice: 0 }], "upcoming", null, null],
    ["guest before the start", false, -1000, [item()], "guest", "says_guest", "log_in"],
    ["guest", false, 1, [item()], "guest", null, "log_in"],
    ["unauthenticated", true, 1, [...asked, answer(401, "unauthenticated")], "guest", null, "log_in"],
    ["upcoming", true, -1000, [item({ state: "upcoming" })], "upcoming", null, null],
    ["lead", true, -30_000, [guarded(), { type: "preparing" }], "lead", null, null],
    ["prepared", true, -30_000, [guarded(), token], "upcoming", "says_prepared", null],
    ["slot later", true, 1, [guarded(), { ...token, opensAt: START + 1_300 }], "slot", "says_slot", null],
    ["slot reached", true, 1_300, [guarded(), { ...token, opensAt: START + 1_300 }], "open", null, "buy"],
    ["no https", true, -30_000, [guarded(), { type: "token_refused", reason: "insecure" }], "cannot_prepare", "says_insecure", null],
    ["open at the very start", true, 0, [item({ state: "upcoming" })], "open", null, "buy"],
    ["open", true, 1, [item()], "open", null, "buy"],
    ["in flight", true, 1, asked, "asking", null, null],
    ["pressed twenty times", true, 1, [item(), ...Array(20).fill(press), sent, ...Array(20).fill(press)], "asking", null, null],
    ["placed", true, 1, [...asked, answer(201, undefined, { order })], "bought", "says_bought", "order"],
    ["replayed", true, 1, [...asked, answer(200, undefined, { order })], "bought", "says_bought", "order"],
    ["had before", true, 1, [item(), { type: "had", order }], "bought", "says_bought", "order"],
    ["time over", true, 600_000, held, "time_over", null, null],
    ["time over, not ended yet", true, 600_000, [...held, stands("reserved")], "time_over", null, null],
    ["time over, unreadable", true, 600_000, [...held, stands("unknown")], "time_over", null, null],
    ["lapsed", true, 600_000, [...held, stands("expired")], "open", "says_lapsed", "buy"],
    ["lapsed, sold out since", true, 600_000, [...held, stands("expired"), item({ state: "sold_out", counters: { allotted: 10, available: 0, reserved: 0, sold: 10 } })], "sold_out", "says_gone", null],
    ["lapsed, guarded", true, 600_000, [guarded(), token, ...held.slice(1), stands("expired")], "lead", null, null],
    ["given up elsewhere", true, 1, [...held, stands("cancelled")], "open", "says_given_up", "buy"],
    ["paid elsewhere", true, 1, [...held, stands("paid")], "paid", "says_paid", "order"],
    ["nothing more is known of it", true, 1, [...held, stands("missing")], "open", null, "buy"],
    ["still to be paid", true, 1, [...held, stands("reserved")], "bought", "says_bought", "order"],
    ["the session is over", true, 1, [...held, stands("unauthenticated")], "guest", null, "log_in"],
    ["another order's news", true, 1, [...held, stands("expired", { order: { ...order, id: "2" } })], "bought", "says_bought", "order"],
    ["not started: the countdown", true, -100, [{ type: "unreadable", dice: 0 }, item({ starts_at: iso(START - 500) }), press, sent, answer(409, "sale_not_started", { startsAt: START })], "upcoming", "says_early", null],
    ["sold out, some unpaid", true, 1, [...asked, answer(409, "sold_out")], "sold_out", "says_unpaid", null],
    ["sold out for good", true, 1, [item({ state: "sold_out", counters: { allotted: 10, available: 0, reserved: 0, sold: 10 } })], "sold_out", "says_gone", null],
    ["units come back", true, 1, [...asked, answer(409, "sold_out"), item()], "open", null, "buy"],
    ["limit", true, 1, [...asked, answer(409, "limit_reached")], "limit", "says_limit", "orders"],
    ["exhausted", true, 1, [...asked, answer(409, "attempts_exhausted")], "exhausted", "says_exhausted", "orders"],
    ["paused", true, 1, [...asked, answer(409, "sale_paused")], "paused", "says_paused", null],
    ["journal damaged", true, 1, [...asked, answer(503, "journal_damaged")], "paused", "says_paused", null],
    ["quarantined", true, 1, [...asked, answer(503, "item_quarantined")], "paused", "says_paused", null],
    ["paused returns", true, 1, [...asked, answer(409, "sale_paused"), item()], "open", null, "buy"],
    ["paused by its state", true, 1, [item({ state: "paused" })], "paused", "says_paused", null],
    ["ended", true, 1, [...asked, answer(409, "sale_ended")], "ended", "says_ended", "home"],
    ["over by the clock", true, 3_600_000, [item()], "ended", "says_ended", "home"],
    ["overloaded", true, 1, [...asked, answer(503, "overloaded")], "busy", "says_busy", null],
    ["owner unavailable", true, 1, [...asked, answer(503, "owner_unavailable")], "busy", "says_busy", null],
    ["shutting down", true, 1, [...asked, answer(503, "shutting_down")], "busy", "says_busy", null],
    ["outcome unknown", true, 1, [...asked, answer(503, "outcome_unknown")], "checking", "says_checking", null],
    ["network", true, 1, [...asked, lost], "checking", "says_checking", null],
    ["502", true, 1, [...asked, answer(502)], "checking", "says_checking", null],
    ["504", true, 1, [...asked, answer(504)], "checking", "says_checking", null],
    ["after a reload", true, 1, [item(), { type: "resume" }], "checking", "says_checking", null],
    ["rate limited", true, 1, [...asked, answer(429, "rate_limited", { retryAfterMs: 3_000 })], "too_fast", null, null],
    ["token refused", true, 1, [guarded(), token, press, sent, answer(403, "buy_token_invalid")], "prepare_again", null, null],
    ["challenge refused", true, 1, [guarded(), token, press, sent, answer(403, "challenge_failed")], "prepare_again", null, null],
    ["refused again", true, 1, [guarded(), token, press, sent, answer(403, "buy_token_invalid"), { type: "token_refused", code: "challenge_failed" }], "prepare_by_hand", "says_prepare_failed", "prepare"],
    ["not admitted", true, 1, [...asked, answer(403, "not_admitted")], "not_admitted", "says_not_admitted", null],
    ["key reused", true, 1, [...asked, answer(409, "idempotency_key_reused")], "open", "says_key_reused", "buy"],
    ["revision differs", true, 1, [item({ revision: "r2" })], "changed", "says_changed", "reload"],
    ["revision differs for guests", false, 1, [item({ revision: "r2" })], "changed", "says_changed", "reload"],
    ["any other", true, 1, [...asked, answer(418, "teapot", { requestId: "q" })], "failed", "says_failed", "buy"],
  ];
  const wrong = [];
  const same = (name, found, expected) => {
    const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
    if (a !== b) wrong.push(`${name}: ${a} instead of ${b}`);
  };
  const after = (events, isBuyer, now) => events.reduce((state, event) => reduce(state, event, now), begin(page, isBuyer));
  for (const [name, isBuyer, at, events, text, says, action] of table) {
    const shown = view(after(events, isBuyer, START + at), START + at);
    same(name, [shown.text, shown.says ?? null, shown.action], [text, says, action]);
  }

  // Patience: two seconds in flight, and one sentence more.
  const inFlight = after(asked, true, START);
  same("patience", view(inFlight, START + 2_000).says, "says_patience");
  // A request is sent once, and again only when its time has come.
  same("sent once", wantsToAsk(inFlight, START + 60_000), false);
  const busy = after([...asked, answer(503, "overloaded")], true, START);
  same("busy waits", [wantsToAsk(busy, START + 1_499), wantsToAsk(busy, START + 1_500)], [false, true]);
  // Longer each time, and thirty seconds in all.
  let [state, waits] = [after(asked, true, START), []];
  for (let turn = 0; turn < 20 && !state.outcome; turn += 1) {
    state = reduce(state, answer(503, "overloaded"), START);
    if (state.request) { waits.push(state.request.at - START); state = reduce(state, sent, START); }
  }
  same("busy ends", [waits.every((wait, place) => place === 0 || wait > waits[place - 1]), waits.reduce((sum, wait) => sum + wait, 0) <= 30_000, waits.length > 2, view(state, START).says], [true, true, true, "says_still_busy"]);
  // What became of a request is asked for until it is known.
  state = after(asked, true, START);
  for (let turn = 0; turn < 50; turn += 1) state = reduce(reduce(state, lost, START), sent, START);
  same("checking goes on", [view(state, START).text, state.request.at - START], ["checking", 10_000]);
  // Early: once by itself, within 200 ms of the start.
  const early = after([item({ starts_at: iso(START - 500) }), press, sent, answer(409, "sale_not_started", { startsAt: START })], true, START - 100);
  same("early asks once", [wantsToAsk(early, START + 99), wantsToAsk(early, START + 100)], [false, true]);
  const twice = [sent, answer(409, "sale_not_started", { startsAt: START })].reduce((state, event) => reduce(state, event, START), early);
  same("and not twice", [twice.request, view(twice, START).action], [null, "buy"]);
  // Tokens: from their time on, once at a time.
  const waiting = after([guarded()], true, START - 70_000);
  same("tokens", [wantsToken(waiting, START - 60_001), wantsToken(waiting, START - 60_000)], [false, true]);
  same("guests get none", wantsToken(after([guarded()], false, START), START), false);
  // Looks: as the server says, none in the last minute and at the start, and rarely when all is paid for.
  same("looks", after([item()], true, START).lookAt, START + 5_000);
  same("looks before", after([item()], true, START - 70_000).lookAt, START - 65_000);
  for (const early of [64_000, 30_000, 5_000, 4_000]) {
    const { lookAt } = after([item()], true, START - early);
    same(`quiet at the start, ${early}`, lookAt >= START + 2_000 && lookAt < START + 5_000, true);
  }
  same("looks after", after([item()], true, START - 1_000).lookAt, START + 4_000);
  const gone = { counters: { allotted: 1, available: 0, reserved: 0, sold: 1 }, state: "sold_out" };
  same("nothing to come back", after([item(gone)], true, START).lookAt, START + 120_000);
  // An order is looked at when its time is over, and then now and again until it has ended.
  const paying = after(held, true, START);
  same("looks at zero", [wantsOrder(paying, START + 599_999), wantsOrder(paying, START + 600_000)], [false, true]);
  const asking = reduce(paying, stands("reserved"), START + 600_000);
  same("looks again", [wantsOrder(asking, START + 602_999), wantsOrder(asking, START + 603_000)], [false, true]);
  same("a look before changes nothing", wantsOrder(reduce(paying, stands("reserved"), START), START + 599_999), false);
  same("and then no more", wantsOrder(reduce(asking, stands("expired"), START + 603_000), END), false);
  // The key is kept until the outcome is known.
  for (const [event, expected] of [
    [answer(201, undefined, { order }), true], [answer(409, "sold_out"), true], [answer(409, "idempotency_key_reused"), true],
    [answer(418, "teapot"), true], [answer(503, "overloaded"), false], [answer(503, "outcome_unknown"), false], [answer(502), false],
    [lost, false], [answer(401, "unauthenticated"), false], [answer(409, "sale_not_started"), false], [answer(429, "rate_limited"), false],
  ]) same(`final ${event.type} ${event.code}`, isFinal(event), expected);
  return wrong;
}
