"use strict";
// Hands: pointer and keyboard, and how the page begins.

// --- pointer ---

const canvas = $("canvas");
let grip = null; // what the pressed button does: {kind, ...}
let space = false;

function place(event) {
  const r = canvas.getBoundingClientRect();
  return {x: event.clientX - r.left, y: event.clientY - r.top};
}

canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("pointerdown", (event) => {
  if (!drawing || grip) return;
  const s = place(event), p = view.toImage(s.x, s.y);
  canvas.setPointerCapture(event.pointerId);
  view.cross = null;
  if (event.button === 1 || (space && event.button === 0)) grip = {kind: "pan", last: s};
  else if (tool !== "click" && event.button === 0) {
    grip = {kind: "stroke"};
    drawing.beginStroke(p, brushSize(), tool === "brush");
  } else if (event.button === 0 || event.button === 2) grip = {kind: "click", start: s, from: p, button: event.button};
  event.preventDefault();
  canvas.focus();
});
canvas.addEventListener("pointermove", (event) => {
  const s = place(event), p = view.toImage(s.x, s.y);
  if (grip && grip.kind === "pan") {
    view.pan(s.x - grip.last.x, s.y - grip.last.y);
    grip.last = s;
  } else if (grip && grip.kind === "stroke") {
    for (const e of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) {
      const at = place(e);
      drawing.moveStroke(view.toImage(at.x, at.y));
    }
  } else if (grip && grip.button === 0 && Math.hypot(s.x - grip.start.x, s.y - grip.start.y) > 5) {
    const a = view.clamp(grip.from), b = view.clamp(p);
    view.drag = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
    view.draw();
  }
  view.brush = tool === "click" ? null : {...p, size: brushSize()};
  if (view.brush) view.draw();
});
canvas.addEventListener("pointerup", () => {
  const held = grip;
  grip = null;
  if (!held || !drawing) return;
  if (held.kind === "stroke") drawing.endStroke();
  if (held.kind !== "click") return;
  const box = view.drag;
  view.drag = null;
  if (box && box[2] - box[0] >= 1 && box[3] - box[1] >= 1) drawing.drawBox(box);
  else if (view.contains(held.from)) drawing.click(held.from, held.button === 0 ? 1 : 0);
  else view.draw();
});
canvas.addEventListener("pointercancel", () => {
  if (grip && grip.kind === "stroke") drawing.endStroke();
  grip = view.drag = null;
  view.draw();
});
canvas.addEventListener("pointerleave", () => {
  view.brush = null;
  view.draw();
});
canvas.addEventListener("wheel", (event) => {
  if (!drawing) return;
  const s = place(event);
  view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), s.x, s.y);
  event.preventDefault();
}, {passive: false});

// --- keyboard ---

function moveCross(dx, dy, fine) {
  const step = (fine ? 1 : 12) / view.scale;
  const from = view.cross || view.toImage(canvas.clientWidth / 2, canvas.clientHeight / 2);
  view.cross = view.clamp({x: from.x + dx * step, y: from.y + dy * step});
  const s = view.toScreen(view.cross.x, view.cross.y), margin = 20; // the image follows
  view.pan(Math.max(0, margin - s.x) - Math.max(0, s.x - canvas.clientWidth + margin),
           Math.max(0, margin - s.y) - Math.max(0, s.y - canvas.clientHeight + margin));
}

function clickCross(label) {
  if (view.cross) drawing.click(view.cross, label);
  else say("The arrow keys move a cross to click with.");
}

const middleZoom = (factor) => view.zoom(factor, canvas.clientWidth / 2, canvas.clientHeight / 2);
const keys = {
  "c": () => setTool("click"), "b": () => setTool("brush"), "e": () => setTool("eraser"),
  "[": () => setSize(Math.min(brushSize() - 1, Math.floor(brushSize() / 1.25))),
  "]": () => setSize(Math.max(brushSize() + 1, Math.ceil(brushSize() * 1.25))),
  "x": nextChoice, "1": () => drawing && drawing.choose(0), "2": () => drawing && drawing.choose(1),
  "3": () => drawing && drawing.choose(2),
  "z": () => drawing && drawing.step(-1), "y": () => drawing && drawing.step(1),
  "Enter": accept, "Escape": discard, "n": () => finish("done"), "s": () => finish("skip"),
  "h": () => showOutlines(!view.showOthers), "?": () => $("help").showModal(),
  "+": () => middleZoom(1.25), "=": () => middleZoom(1.25), "-": () => middleZoom(0.8), "0": () => view.fit(),
  "f": () => drawing && clickCross(1), "g": () => drawing && clickCross(0),
};
const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

addEventListener("keydown", (event) => {
  const on = event.target, typing = on.matches("input:not([type=radio], [type=checkbox], [type=range]), textarea");
  if (document.querySelector("dialog[open]") || typing || event.altKey) return;
  const onControl = on.matches("button, input");
  if ((event.key === "Enter" || event.key === " ") && onControl) return; // it is meant for the button
  if (event.key === " ") {
    space = true;
    event.preventDefault();
    return;
  }
  if (arrows[event.key] && drawing && !onControl) {
    moveCross(...arrows[event.key], event.shiftKey);
    event.preventDefault();
    return;
  }
  let key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key !== "z" && key !== "y") return;
    if (key === "z" && event.shiftKey) key = "y";
  } else if (key === "z" && event.shiftKey) key = "y";
  if (event.repeat && !"[]zy+-=".includes(key)) return;
  if (!keys[key]) return;
  keys[key]();
  event.preventDefault();
});
addEventListener("keyup", (event) => {
  if (event.key === " ") space = false;
});

// --- beginning ---

$("who").addEventListener("close", () => {
  person = $("person").value.trim();
  if (!person) {
    $("who").showModal();
    return;
  }
  localStorage.setItem("person", person);
  nextImage();
});
$("who").addEventListener("cancel", (event) => event.preventDefault());

setSize(20);
changed();
if (person) nextImage();
else $("who").showModal();
