// Who the visitor is, from the cookie that scripts may read: greets on pages that are the same for
// everybody, keeps the session from running out, and remembers the language.

const port = location.port ? `_${location.port}` : "";
const prefix = location.protocol === "https:" ? "__Host-" : "";

/** Returns the value of a cookie of this shop, or null. */
function cookie(suffix) {
  for (const name of [`${prefix}seckill${port}${suffix}`, `seckill${port}${suffix}`]) {
    const pair = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
    if (pair) return pair.slice(name.length + 1);
  }
  return null;
}

/** Returns the buyer's name, identity and the session's end in milliseconds; null for a guest. */
export function who() {
  const parts = (cookie("_who") ?? "").split(".");
  const [id, end] = parts.splice(-2);
  const endsAt = Number(end) * 1000;
  return id && parts.length > 0 && endsAt > Date.now() - 86_400_000 ? { name: parts.join("."), id, endsAt } : null;
}

/** Asks for a session that lasts longer. Resolves to whether there is one. */
export async function renew() {
  const answer = await fetch("/api/v1/session/renew", { method: "POST", signal: AbortSignal.timeout(8_000) });
  return answer.ok;
}

const greeting = document.getElementById("who");
const visitor = who();
if (greeting) {
  const text = greeting.querySelector("bdi");
  if (visitor) {
    text.textContent = visitor.name;
  } else {
    text.textContent = greeting.dataset.guest;
    const to = encodeURIComponent(location.pathname + location.search);
    greeting.href = greeting.href.replace(/\/account$/, `/login?to=${to}`);
  }
}

for (const link of document.querySelectorAll("a[data-language]")) {
  link.addEventListener("click", () => {
    const secure = prefix ? "; Secure" : "";
    document.cookie = `${prefix}seckill${port}_language=${link.dataset.language}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  });
}
