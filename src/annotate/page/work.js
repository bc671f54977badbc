"use strict";
// The work: which image, which masks, buttons, the timer, and what is said to whom.

const $ = (id) => document.getElementById(id);
const view = new View($("canvas"));
const ADVICE = "Most prominent objects first", LATE = "30 s: accept what you have, or move on", LATE_SECONDS = 30;
const FIRST = "Click on an object, then Enter. “?” shows all keys.";
const LOOKING = "The model is still looking at this image; clicks are answered in a moment.";
let image = null;    // as the server describes it
let masks = [];      // of it: {name, kind, runs, columns, colour, state}
let drawing = null;
let person = localStorage.getItem("person") || "";
let newcomer = !person;
let tool = "click";
let busy = false;    // between two images
const choices = document.querySelectorAll("#choices button");

// --- messages and the timer ---

function say(text, bad) {
  $("message").textContent = text || "";
  $("message").classList.toggle("bad", Boolean(bad));
}

function trouble(error) {
  if (!error) {
    if ($("message").classList.contains("bad") || $("message").textContent === LOOKING) say("");
  } else if (error instanceof Refused && error.status === 401) {
    say("The server does not know this page any more: use the URL that it prints now.", true);
  } else if (error instanceof Refused && error.status === 409 && drawing) {
    say(error.message + " The next one comes.", true);
    nextImage();
  } else if (error instanceof Refused) {
    say(error.message, true);
  } else {
    say("The connection is lost; nothing that was accepted is. Trying again …", true);
  }
}

// Seconds that people looked at the page, since the last mask was accepted or discarded.
const clock = {
  spent: 0, since: performance.now(),
  restart() { this.spent = 0; this.since = performance.now(); },
  get seconds() { return this.spent + (document.hidden ? 0 : (performance.now() - this.since) / 1000); },
};
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clock.spent += (performance.now() - clock.since) / 1000;
  clock.since = performance.now();
});
setInterval(() => {
  const seconds = Math.floor(clock.seconds), late = image && seconds >= LATE_SECONDS;
  if ($("timer").textContent !== seconds + " s") $("timer").textContent = seconds + " s";
  if ($("advice").classList.contains("late") === Boolean(late)) return;
  $("advice").textContent = late ? LATE : ADVICE;
  $("advice").classList.toggle("late", Boolean(late));
}, 500);

function showProgress(p) {
  if (!p) return;
  const finished = p.done + p.skipped + p.unusable;
  $("progress").textContent = `${finished} of ${p.images} images · ${p.masks} masks` +
    (p.people > 1 ? ` · ${p.people} people` : "");
}

// --- masks that are there ---

function showMasks() {
  const list = $("list"), items = [...list.children], on = document.activeElement;
  const at = items.findIndex((item) => item.contains(on)), which = on === (items[at] && items[at].lastChild) ? 3 : 2;
  list.replaceChildren(...masks.map((mask, i) => {
    const item = document.createElement("li");
    const colour = document.createElement("span"), what = document.createElement("span");
    const kind = {shown: "filled in", hint: "hint", human: mask.annotator || "drawn"}[mask.kind];
    colour.className = "colour";
    colour.style.background = `rgb(${mask.colour.join(" ")})`;
    what.className = "what";
    what.textContent = `${i + 1} · ${kind}${mask.saving ? " · being saved" : ""}`;
    item.dataset.name = mask.name;
    item.dataset.saving = mask.saving ? "yes" : "no";
    const edit = document.createElement("button"), remove = document.createElement("button");
    edit.textContent = "Edit";
    edit.setAttribute("aria-label", `Edit mask ${i + 1}`);
    edit.addEventListener("click", () => editMask(mask));
    remove.textContent = "Delete";
    remove.setAttribute("aria-label", `Delete mask ${i + 1}`);
    remove.addEventListener("click", () => deleteMask(mask));
    edit.disabled = remove.disabled = Boolean(mask.saving);
    item.append(colour, what, edit, remove);
    return item;
  }));
  if (at >= 0) ((list.children[Math.min(at, masks.length - 1)] || {}).childNodes?.[which] || $("canvas")).focus();
  $("count").textContent = masks.length ? `(${masks.length})` : "";
  view.setOthers(masks.filter((m) => !drawing || m.name !== drawing.replaces));
}

function makeMask(name, kind, runs, more) {
  return {name, kind, runs, columns: columnsFromRuns(runs, image.height), colour: colourOf(nextColour++), ...more};
}
let nextColour = 0;

function answerOf(what, more) {
  return {do: what, id: randomHex(), image: image.image, annotator: person, ...more};
}

function accept() {
  const state = drawing && drawing.state;
  if (!state || !state.runs || !areaOfRuns(state.runs)) {
    say("There is no mask to accept yet.", true);
    return;
  }
  const answer = answerOf("accept", {size: [image.height, image.width], counts: countsFromRuns(state.runs),
    seconds: Math.round(clock.seconds * 100) / 100, clicks: Math.min(state.clicks, 65535)});
  if (drawing.replaces) answer.mask = drawing.replaces;
  const replaced = masks.findIndex((m) => m.name === drawing.replaces);
  const mask = makeMask(answer.id, "human", state.runs, {annotator: person, saving: true});
  const before = replaced >= 0 ? masks.splice(replaced, 1, mask)[0] : (masks.push(mask), null);
  const of = masks;
  drawing.clear();
  clock.restart();
  showMasks();
  say("Being saved …");
  sendAnswer(answer, trouble).then((reply) => {
    mask.saving = false;
    showProgress(reply.progress);
    say("Saved.");
    if (of === masks) showMasks();
  }, (error) => { // refused: it goes back to where it can be seen and tried again
    const at = of.indexOf(mask);
    if (before) of.splice(at, 1, before); else of.splice(at, 1);
    if (of === masks) {
      showMasks();
      if (drawing.isEmpty) drawing.edit(state.runs, before ? before.name : null);
    }
    trouble(error);
  });
}

function editMask(mask) {
  if (!drawing.isEmpty) {
    say("Accept or discard the mask at hand first.", true);
    return;
  }
  drawing.edit(mask.runs, mask.name);
  clock.restart();
  showMasks();
  $("canvas").focus();
}

function deleteMask(mask) {
  const at = masks.indexOf(mask), of = masks;
  masks.splice(at, 1);
  if (drawing.replaces === mask.name) drawing.clear();
  showMasks();
  sendAnswer(answerOf("delete", {mask: mask.name}), trouble).then((reply) => {
    showProgress(reply.progress);
    say("Deleted.");
  }, (error) => {
    of.splice(at, 0, mask);
    if (of === masks) showMasks();
    trouble(error);
  });
}

function discard() {
  if (!drawing || drawing.isEmpty) return;
  drawing.discard();
  clock.restart();
  showMasks();
  say("Discarded; undo brings it back.");
}

// --- images ---

async function showImage(described) {
  image = described;
  if (described.image === null) {
    endOfWork(described.progress);
    return;
  }
  const blob = await (await insist(() => ask("/api/photo/" + described.image), trouble)).blob();
  const photo = await createImageBitmap(blob);
  view.setPhoto(photo, described.width, described.height);
  nextColour = 0;
  masks = described.masks.map((m) => makeMask(m.name, m.kind, runsFromCounts(m.counts), {annotator: m.annotator}));
  drawing = new Drawing(view, described, changed, trouble);
  $("name").textContent = described.name;
  $("name").title = described.name;
  document.title = described.name + " · maskmill annotate";
  document.body.dataset.image = described.image;
  showProgress(described.progress);
  showMasks();
  clock.restart();
  say(!described.ready ? LOOKING : newcomer ? FIRST : "");
  newcomer = false;
}

function endOfWork(progress) {
  drawing = null;
  masks = [];
  view.setPhoto(new OffscreenCanvas(1, 1).transferToImageBitmap(), 1, 1);
  $("name").textContent = "Nothing left to do";
  document.body.dataset.image = "none";
  showProgress(progress);
  showMasks();
  changed();
  say("All images are done, skipped, or with somebody else. “Next” looks again.");
}

async function move(ask) {
  if (busy) return;
  busy = true;
  try {
    await ask();
  } catch (error) {
    trouble(error);
  }
  busy = false;
  changed();
}

const nextImage = () => move(async () => {
  const after = image && image.image;
  await showImage(await insist(() => askJson("/api/next", after === null ? {} : {after}), trouble));
});

const finish = (what) => move(async () => {
  const after = image && image.image;
  if (drawing) {
    if (!drawing.isEmpty) {
      say("Accept or discard the mask at hand first.", true);
      return;
    }
    await answersArrived();
    await sendAnswer(answerOf(what, {seconds: Math.round(clock.seconds * 100) / 100}), trouble);
  }
  await showImage(await insist(() => askJson("/api/next", after === null ? {} : {after}), trouble));
});

setInterval(async () => { // so that the image stays with us
  if (!image || image.image === null || busy) return;
  try {
    const reply = await askJson("/api/beat", {image: image.image});
    showProgress(reply.progress);
    if (reply.ready || $("message").textContent !== LOOKING) trouble(null);
  } catch (error) {
    trouble(error);
  }
}, 10000);

// What is not on the server yet would be lost.
addEventListener("beforeunload", (event) => {
  if ((drawing && !drawing.isEmpty) || masks.some((mask) => mask.saving)) event.preventDefault();
});

addEventListener("pagehide", () => {
  if (image && image.image !== null)
    ask("/api/leave", {image: image.image}, {keepalive: true}).catch(() => {});
});
addEventListener("pageshow", (event) => {
  if (event.persisted && image && image.image !== null) askJson("/api/beat", {image: image.image}).catch(trouble);
});

// --- buttons ---

function changed() {
  const state = drawing && drawing.state;
  choices.forEach((button, i) => {
    const mask = state && state.result && state.result.masks[i];
    const text = mask ? `${i + 1} · ${Math.round(100 * Math.max(0, Math.min(1, mask.iou)))} %` : `${i + 1}`;
    button.disabled = !mask;
    if (button.textContent !== text) button.textContent = text;
    button.setAttribute("aria-label", mask ? `Mask ${i + 1}, predicted IoU ${mask.iou.toFixed(2)}` : `Mask ${i + 1}`);
    button.setAttribute("aria-pressed", String(Boolean(mask) && state.choice === i));
  });
  $("undo").disabled = !drawing || (drawing.at === 0 && !drawing.canRestore);
  $("redo").disabled = !drawing || drawing.at === drawing.steps.length - 1;
  $("accept").disabled = !state || !state.runs;
  $("discard").disabled = !drawing || drawing.isEmpty;
  $("skip").disabled = !drawing;
  document.body.dataset.area = state && state.runs ? areaOfRuns(state.runs) : 0;
}

function setTool(name) {
  tool = name;
  document.querySelector(`input[name=tool][value=${name}]`).checked = true;
  if (tool === "click") view.brush = null;
  view.draw();
}

function setSize(size) {
  $("size").value = Math.min(200, Math.max(1, size));
  $("size-text").textContent = $("size").value + " px";
  if (view.brush) view.brush.size = brushSize();
  view.draw();
}
const brushSize = () => Number($("size").value);

function nextChoice() {
  const state = drawing && drawing.state;
  if (state && state.result) drawing.choose((state.choice + 1) % state.result.masks.length);
}

function showOutlines(on) {
  view.showOthers = $("outlines").checked = on;
}

// Who works with the mouse has the keys at hand all the same: Enter accepts, and does not press the same button again.
document.querySelector("aside").addEventListener("click", (event) => {
  if (event.detail > 0 && event.target.closest("button, input")) $("canvas").focus();
});
document.querySelectorAll("input[name=tool]").forEach((i) => i.addEventListener("change", () => setTool(i.value)));
choices.forEach((b) =>
  b.addEventListener("click", () => drawing && drawing.choose(Number(b.dataset.choice))));
$("size").addEventListener("input", () => setSize(brushSize()));
$("outlines").addEventListener("change", () => showOutlines($("outlines").checked));
$("undo").addEventListener("click", () => drawing && drawing.step(-1));
$("redo").addEventListener("click", () => drawing && drawing.step(1));
$("accept").addEventListener("click", accept);
$("discard").addEventListener("click", discard);
$("next").addEventListener("click", () => finish("done"));
$("skip").addEventListener("click", () => finish("skip"));
$("help-button").addEventListener("click", () => $("help").showModal());
