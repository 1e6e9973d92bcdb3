// The list of sales: says which are live, by the server's clock.
import * as clock from "./clock.js";

const cards = Array.from(document.querySelectorAll("[data-starts]"), (card) => ({
  badge: card.querySelector(".badge"), starts: Date.parse(card.dataset.starts), ends: Date.parse(card.dataset.ends),
}));

function show() {
  const now = clock.now();
  for (const { badge, starts, ends } of cards) {
    const [state, tone] = now >= ends ? ["over", "badge known"] : now >= starts ? ["live", "badge known good"] : ["upcoming", "badge known warn"];
    const text = badge.dataset[state];
    if (badge.textContent !== text) { badge.textContent = text; badge.className = tone; }
  }
}

if (cards.length > 0) {
  clock.synchronise().then(() => { show(); setInterval(() => { clock.check(); show(); }, 1_000); });
}
