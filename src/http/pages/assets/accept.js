// A one-time link: its code stands in the fragment, which is not sent. Puts it into the form, takes it off
// the address, and says whom the link is for.
const code = location.hash.slice(1);
const field = document.getElementById("code");
if (code && field && !field.value) {
  field.value = code;
  history.replaceState(null, "", location.pathname);
}

/** Returns the name in a code, which nobody has checked yet; empty if there is none. */
function nameIn(code) {
  try {
    const text = atob(code.trim().split("#").pop().split(".")[0].replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    return new TextDecoder().decode(bytes).split("|").slice(0, -3).join("|");
  } catch {
    return "";
  }
}

const name = field ? nameIn(field.value) : "";
if (name) {
  document.getElementById("invited-name").textContent = name;
  document.getElementById("invited").hidden = false;
  if (!document.getElementById("code-error")) document.getElementById("code-field").hidden = true;
  document.getElementById("password").focus();
}
