// Obtains a buy token: solves the item's challenge, if it has one, off the page's own thread.

const DEADLINE_MS = 8_000;
/** How long a challenge is shown before it is asked for anew. */
const SHOWN_MS = 240_000;

async function refusal(answer) {
  const body = await answer.json().catch(() => null);
  return { type: "token_refused", code: body?.code, opensAt: Date.parse(body?.opens_at) };
}

/** Resolves to the event that tells how it went. `worker` is the path of the solver. */
export async function obtain(item, admission, worker) {
  let solution = null;
  if (admission.challenge !== "none") {
    const answer = await fetch(`/api/v1/items/${item}/challenge`, { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (!answer.ok) return refusal(answer);
    const challenge = await answer.json();
    // Browsers have no key derivation for pages that came over plain HTTP from another machine.
    if (challenge.parameters && !globalThis.crypto?.subtle) return { type: "token_refused", reason: "insecure" };
    solution = await (challenge.parameters ? solved(challenge, worker) : shown(challenge.provider));
  }
  const answer = await fetch(`/api/v1/items/${item}/buy-token`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ challenge: solution }),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  if (!answer.ok) return refusal(answer);
  const token = await answer.json();
  return { type: "token", url: token.buy_url, opensAt: Date.parse(token.opens_at) };
}

/** Shows the provider's challenge below the button, and resolves to what its script gives out. */
async function shown(provider) {
  const place = document.getElementById("check");
  const frame = document.createElement("iframe");
  frame.title = place.firstElementChild.textContent;
  frame.src = "/challenge";
  place.dataset.provider = provider;
  place.hidden = false;
  const abort = new AbortController();
  try {
    return await new Promise((resolve, reject) => {
      addEventListener("message", ({ source, origin, data }) => {
        if (source !== frame.contentWindow || origin !== location.origin) return;
        if (typeof data?.solution === "string") resolve(data.solution);
        else reject(new Error("the provider shows nothing"));
      }, { signal: abort.signal });
      setTimeout(() => reject(new Error("nobody answered")), SHOWN_MS);
      place.append(frame);
    });
  } finally {
    abort.abort();
    frame.remove();
    place.hidden = true;
  }
}

const policy = globalThis.trustedTypes?.createPolicy("worker", {
  createScriptURL: (url) => { if (!/^\/assets\/[0-9a-f]+\/solver\.js$/.test(url)) throw new TypeError(url); return url; },
});

function solved(challenge, path) {
  const worker = new Worker(policy ? policy.createScriptURL(path) : path);
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
    worker.postMessage(challenge);
  }).finally(() => worker.terminate());
}
