// A provider's challenge in its frame: loads the provider's script, and tells the page around it the solution.
const root = document.getElementById("widget");
const { provider, siteKey, action, script } = root.dataset;

const tell = (message) => parent.postMessage(message, location.origin);
const solved = (solution) => tell({ solution });
const failed = () => tell({ failed: true });

const show = {
  turnstile: () => turnstile.render(root, { sitekey: siteKey, action, callback: solved, "error-callback": failed }),
  hcaptcha: () => hcaptcha.render(root, { sitekey: siteKey, callback: solved, "error-callback": failed }),
  geetest: () => initGeetest4({ captchaId: siteKey, product: "float" }, (captcha) => {
    captcha.onSuccess(() => solved(JSON.stringify(captcha.getValidate()))).onError(failed).appendTo(root);
  }),
};

const element = document.createElement("script");
element.src = script;
element.onload = show[provider];
element.onerror = failed;
document.head.append(element);
