// Solves a proof of work: finds the counter with which the derived key begins as it has to.

const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
const hexadecimal = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function derive({ nonce, salt, cost, keyLength }, counter) {
  const start = bytes(nonce);
  const password = new Uint8Array(start.length + 4);
  password.set(start);
  new DataView(password.buffer).setUint32(start.length, counter);
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const parameters = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost };
  return hexadecimal(await crypto.subtle.deriveBits(parameters, key, keyLength * 8));
}

onmessage = async ({ data: challenge }) => {
  const began = performance.now();
  for (let counter = 0; counter < 2 ** 32; counter += 1) {
    const derivedKey = await derive(challenge.parameters, counter);
    if (derivedKey.startsWith(challenge.parameters.keyPrefix)) {
      const solution = { counter, derivedKey, time: Math.round(performance.now() - began) };
      postMessage(btoa(JSON.stringify({ challenge, solution })));
      return;
    }
  }
};
