"use strict";
// The server: requests with the token, and answers that are sent until they have arrived.

const token = new URLSearchParams(location.search).get("token") || "";

function randomHex() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// One a tab; a tab that is loaded again keeps its image.
const session = sessionStorage.getItem("session") || randomHex();
sessionStorage.setItem("session", session);

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, body, options) {
  const headers = {"X-Maskmill-Token": token, "X-Maskmill-Session": session};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, {
    method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store", ...options,
  });
  if (reply.ok) return reply;
  let text = reply.statusText;
  try {
    text = (await reply.json()).error || text;
  } catch { /* no text then */ }
  throw new Refused(reply.status, text);
}

async function askJson(path, body) {
  return (await ask(path, body)).json();
}

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// What may get better by itself: no connection, a server that is busy or just starting.
const isPassing = (error) => !(error instanceof Refused) || error.status === 429 || error.status >= 500;

// Until it worked or was refused; `notice` hears of each failure that may pass.
async function insist(action, notice) {
  for (let pause = 250; ; pause = Math.min(2 * pause, 4000)) {
    try {
      return await action();
    } catch (error) {
      if (!isPassing(error)) throw error;
      notice(error);
      await wait(pause);
    }
  }
}

// Answers go one after the other, each with a number of its own: sent again after a lost reply, it counts once.
let answers = Promise.resolve();
function sendAnswer(answer, notice) {
  const sent = answers.then(() => insist(() => askJson("/api/answer", answer), notice));
  answers = sent.catch(() => {});
  return sent;
}
const answersArrived = () => answers;
