// Tells the shop that this page was viewed: once, and without waiting. A browser that asks not to be
// tracked keeps nothing.
const KEY = "visitor";
const path = "/api/v1/visits";
const item = document.querySelector("[data-visit-item]")?.dataset.visitItem;
const isPrivate = navigator.globalPrivacyControl === true || navigator.doNotTrack === "1";

function known() {
  try {
    const number = isPrivate ? null : localStorage.getItem(KEY);
    return /^[0-9a-f]{16}$/.test(number ?? "") ? number : null;
  } catch { return null; }
}

function keep(number) {
  if (isPrivate || !number) return;
  try { localStorage.setItem(KEY, number); } catch { /* Nothing may be kept here. */ }
}

async function tell() {
  const visitor = known();
  const body = JSON.stringify({ ...(item && { item }), ...(visitor && { visitor }) });
  if (visitor && navigator.sendBeacon?.(path, new Blob([body], { type: "application/json" }))) return;
  const answer = await fetch(path, {
    method: "POST", body, keepalive: true, headers: { "content-type": "application/json" },
  });
  keep(answer.headers.get("visitor"));
}

// A page that is made ready in the background has not been viewed yet.
if (document.prerendering) document.addEventListener("prerenderingchange", () => tell().catch(() => {}), { once: true });
else tell().catch(() => {});
