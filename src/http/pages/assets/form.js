// Forms: the summary of what is wrong gets the focus, a form is sent once however often it is pressed, and files that
// are too large are not sent at all.
document.getElementById("errors")?.focus();

/** Says at a field of files what is wrong with what was chosen; nothing if `message` is empty. */
function say(field, message) {
  const id = `${field.id}-large`;
  const others = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((other) => other && other !== id);
  document.getElementById(id)?.remove();
  if (message) {
    const error = document.createElement("p");
    Object.assign(error, { id, className: "error", textContent: message });
    error.setAttribute("role", "alert");
    field.parentElement.before(error);
    others.push(id);
  }
  field.setAttribute("aria-describedby", others.join(" "));
  field.setAttribute("aria-invalid", String(Boolean(message)));
}

/** Returns the field to correct if the form's files are too large together: the server would not read them, and what
    was typed would be lost with them. */
function tooLarge(form) {
  const fields = [...form.querySelectorAll("input[type=file]")];
  const chosen = fields.filter((field) => field.files.length > 0);
  const bytes = chosen.reduce((sum, field) => sum + field.files[0].size, 0);
  const isTooLarge = bytes > Number(form.dataset.bytesMax);
  for (const field of fields) say(field, isTooLarge && chosen.includes(field) ? form.dataset.tooLarge : "");
  return isTooLarge ? chosen.at(-1) : null;
}

addEventListener("change", ({ target }) => { if (target.form?.dataset.bytesMax && target.type === "file") tooLarge(target.form); });

addEventListener("submit", (event) => {
  const form = event.target;
  const wrong = form.dataset.bytesMax ? tooLarge(form) : null;
  wrong?.focus();
  if (wrong || form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
// A page that comes back from the browser's memory can be sent again.
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
