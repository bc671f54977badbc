"use strict";
// The mask at hand: clicks that the model answers, strokes of brush and eraser, and every step of it to go back to.

const EMPTY = Object.freeze({points: [], box: null, result: null, choice: 0, runs: null, clicks: 0});
const MOST_STEPS = 200;
const PATIENCE = 60; // milliseconds that a click waits for its mask before it is shown alone

// One of the model's masks; unpacked when it is first looked at, which most never are.
function modelMask({predicted_iou, counts}) {
  let runs = null;
  return {
    iou: predicted_iou,
    get runs() {
      return runs ||= runsFromCounts(counts);
    },
  };
}

class Drawing {
  // `changed` is called after every change with what is at hand; `trouble` with what went wrong.
  constructor(view, image, changed, trouble) {
    this.view = view;
    this.image = image; // {image, width, height}
    this.changed = changed;
    this.trouble = trouble;
    this.queue = Promise.resolve(); // clicks, one after the other: each builds on the one before
    this.clear();
  }

  clear() {
    this.steps = [EMPTY];
    this.at = 0;
    this.replaces = null; // the name of the mask that this one is to replace
    this.stroke = this.discarded = null;
    this.turn = (this.turn || 0) + 1; // replies to what was discarded are not for us
    this.show();
  }

  // As if it had not been begun; undo has it until another one is.
  discard() {
    const {steps, at, replaces} = this, wasEmpty = this.isEmpty;
    this.clear();
    if (!wasEmpty) this.discarded = {steps, at, replaces};
    this.changed();
  }

  // Begin with a mask that is there, to correct it.
  edit(runs, name) {
    this.clear();
    this.steps = [{...EMPTY, runs}];
    this.replaces = name;
    this.show();
  }

  get state() {
    return this.steps[this.at];
  }

  get isEmpty() {
    return this.steps.length === 1 && this.state === EMPTY;
  }

  get canRestore() {
    return this.discarded !== null && this.isEmpty;
  }

  push(state) {
    this.steps.length = this.at + 1;
    this.steps.push(state);
    if (this.steps.length > MOST_STEPS) this.steps.shift();
    this.at = this.steps.length - 1;
    this.show();
  }

  step(by) {
    if (by < 0 && this.canRestore) {
      Object.assign(this, this.discarded, {discarded: null});
      this.show();
      return true;
    }
    const to = this.at + by;
    if (to < 0 || to >= this.steps.length) return false;
    this.at = to;
    this.show();
    return true;
  }

  show(then) {
    const state = this.state;
    this.view.points = state.points;
    this.view.box = state.box;
    this.view.setCurrent(state.runs && columnsFromRuns(state.runs, this.image.height));
    if (then) this.view.draw(then);
    this.changed();
  }

  // --- clicks ---

  prompt(change) { // change: state to {points, box}
    const began = performance.now(), turn = this.turn;
    const optimistic = change(this.state);
    this.view.points = optimistic.points;
    this.view.box = optimistic.box;
    const shown = setTimeout(() => this.view.draw(), PATIENCE); // a frame of its own would only delay the mask
    this.queue = this.queue.then(async () => {
      if (turn !== this.turn) return;
      const state = this.state, {points, box} = change(state);
      try {
        const reply = await insist(() => askJson("/api/prompt", {
          image: this.image.image, points, box: box || undefined,
          earlier: state.result ? state.result.number : undefined, mask: state.result ? state.choice : undefined,
        }), this.trouble);
        if (turn !== this.turn) return;
        performance.measure("click-to-reply", {start: began, end: performance.now()});
        const result = {
          number: reply.result,
          masks: reply.masks.map(modelMask),
        };
        this.steps.length = this.at + 1;
        this.steps.push({points, box, result, choice: 0, runs: result.masks[0].runs, clicks: state.clicks + 1});
        this.at++;
        this.show(() => performance.measure("click-to-mask", {start: began, end: performance.now()}));
        this.trouble(null);
      } catch (error) {
        if (turn === this.turn) this.show();
        this.trouble(error);
      }
      clearTimeout(shown);
    });
    return this.queue;
  }

  click(p, label) {
    const point = [Math.round(p.x * 100) / 100, Math.round(p.y * 100) / 100, label];
    return this.prompt((state) => ({points: [...state.points, point].slice(-64), box: state.box}));
  }

  drawBox(box) {
    return this.prompt((state) => ({points: state.points, box}));
  }

  choose(choice) {
    const state = this.state;
    if (!state.result || !state.result.masks[choice]) return;
    this.push({...state, choice, runs: state.result.masks[choice].runs});
  }

  // --- brush and eraser ---

  beginStroke(p, size, adds) {
    const {width, height} = this.image, runs = this.state.runs || Uint32Array.of(width * height);
    const window = windowOfColumns(columnsFromRuns(runs, height));
    this.stroke = {bits: bitsFromRuns(runs, width, height), window, size, adds, last: p};
    this.dab(p);
    this.showStroke();
  }

  // Pixels whose centre is in the disc. The window grows with them.
  dab(p) {
    const {bits, window, size, adds} = this.stroke, r = Math.max(size / 2, 0.7), {width, height} = this.image;
    const y0 = Math.max(0, Math.floor(p.y - r)), y1 = Math.min(height - 1, Math.ceil(p.y + r));
    for (let y = y0; y <= y1; y++) {
      const dy = y + 0.5 - p.y, half = Math.sqrt(Math.max(0, r * r - dy * dy));
      const x0 = Math.max(0, Math.ceil(p.x - half - 0.5)), x1 = Math.min(width - 1, Math.floor(p.x + half - 0.5));
      if (half <= 0 || x1 < x0) continue;
      bits.fill(adds ? 1 : 0, y * width + x0, y * width + x1 + 1);
      if (adds) include(window, x0, y, x1 + 1, y + 1);
    }
  }

  moveStroke(p) {
    const {last, size} = this.stroke, distance = Math.hypot(p.x - last.x, p.y - last.y);
    const steps = Math.ceil(distance / Math.max(0.5, size / 4));
    for (let i = 1; i <= steps; i++)
      this.dab({x: last.x + (p.x - last.x) * i / steps, y: last.y + (p.y - last.y) * i / steps});
    this.stroke.last = p;
    this.showStroke();
  }

  showStroke() {
    this.view.setCurrent(columnsFromBits(this.stroke.bits, this.image.width, this.stroke.window));
  }

  endStroke() {
    const {bits} = this.stroke, state = this.state;
    this.stroke = null;
    const runs = runsFromBits(bits, this.image.width, this.image.height);
    this.push({...state, runs: areaOfRuns(runs) ? runs : null, clicks: state.clicks + 1});
  }
}
