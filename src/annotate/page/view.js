"use strict";
// The canvas: the photograph, the masks that are there, the one at hand, prompts; zoom and pan. Coordinates are pixels
// of the image unless they are called screen's, which are CSS pixels of the canvas.
//
// Two things are kept from frame to frame, so that a click's mask is on the screen soon: the backdrop (photograph and
// other masks as they lie on the screen), and the overlay (the mask at hand, made at the screen's resolution).

class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", {alpha: false});
    this.scale = 1;
    this.left = this.top = 0; // where the image's corner is on the screen
    this.photo = null;
    this.othersAreShown = true;
    this.backdrop = new OffscreenCanvas(1, 1);
    this.layer = new OffscreenCanvas(1, 1); // what is seen of the mask at hand, at its corner
    this.columns = this.overlay = null;
    this.points = [];
    this.box = null;
    this.drag = null;   // the box while it is drawn
    this.cross = null;  // of the keyboard
    this.brush = null;  // where the pointer is, and the diameter
    this.waiting = false;
    new ResizeObserver(() => this.resized()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.moved());
  }

  setPhoto(photo, width, height) {
    if (this.photo) this.photo.close();
    this.photo = photo;
    this.width = width;
    this.height = height;
    this.thick = Math.max(1, Math.round(Math.max(width, height) / 900));
    this.others = new OffscreenCanvas(width, height);
    this.columns = this.overlay = null; // of the mask at hand; of it on the screen, the place
    this.cross = this.drag = this.box = null;
    this.points = [];
    this.fit();
  }

  resized() {
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.backdrop = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    this.layer = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    if (this.photo && !this.zoomed) this.fit();
    this.moved();
  }

  // Everything lies elsewhere now.
  moved() {
    this.backdropIsOld = this.overlayIsOld = true;
    this.draw();
  }

  fit() {
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    this.scale = Math.min(w / this.width, h / this.height) * 0.98 || 1;
    this.left = (w - this.width * this.scale) / 2;
    this.top = (h - this.height * this.scale) / 2;
    this.zoomed = false;
    this.moved();
  }

  zoom(factor, x, y) { // around a place of the screen
    const scale = Math.min(64, Math.max(0.02, this.scale * factor));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.zoomed = true;
    this.moved();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.zoomed = true;
    this.moved();
  }

  toImage(x, y) {
    return {x: (x - this.left) / this.scale, y: (y - this.top) / this.scale};
  }

  toScreen(x, y) {
    return {x: x * this.scale + this.left, y: y * this.scale + this.top};
  }

  contains(p) {
    return p.x >= 0 && p.y >= 0 && p.x <= this.width && p.y <= this.height;
  }

  clamp(p) {
    return {x: Math.min(this.width, Math.max(0, p.x)), y: Math.min(this.height, Math.max(0, p.y))};
  }

  setOthers(masks) { // [{columns, colour}]
    const context = this.others.getContext("2d"), on = {scale: 1, left: 0, top: 0, width: this.width, height: this.height};
    context.clearRect(0, 0, this.width, this.height);
    for (const m of masks) {
      const painted = paintColumns(m.columns, on, this.thick, m.colour, 40);
      if (!painted) continue;
      const piece = new OffscreenCanvas(painted.data.width, painted.data.height); // what is below shows through
      piece.getContext("2d").putImageData(painted.data, 0, 0);
      context.drawImage(piece, painted.x, painted.y);
    }
    this.backdropIsOld = true;
    this.draw();
  }

  set showOthers(on) {
    this.othersAreShown = on;
    this.backdropIsOld = true;
    this.draw();
  }

  get showOthers() {
    return this.othersAreShown;
  }

  setCurrent(columns) { // or null
    this.columns = columns;
    this.overlayIsOld = true;
    this.draw();
  }

  // The mask at hand as it lies on the screen.
  makeOverlay() {
    const ratio = devicePixelRatio || 1;
    const on = {scale: this.scale * ratio, left: this.left * ratio, top: this.top * ratio, width: this.canvas.width,
                height: this.canvas.height};
    const painted = this.columns && paintColumns(this.columns, on, Math.round(3 * ratio), [255, 230, 0], 110, true);
    this.overlay = null;
    if (!painted) return;
    const {data, x, y} = painted, {width, height} = data;
    this.layer.getContext("2d").putImageData(data, 0, 0);
    this.overlay = {x, y, width, height};
  }

  makeBackdrop() {
    const c = this.backdrop.getContext("2d", {alpha: false}), ratio = devicePixelRatio || 1;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.fillStyle = getComputedStyle(this.canvas).backgroundColor;
    c.fillRect(0, 0, this.backdrop.width, this.backdrop.height);
    if (!this.photo) return;
    c.setTransform(ratio * this.scale, 0, 0, ratio * this.scale, ratio * this.left, ratio * this.top);
    c.imageSmoothingEnabled = this.scale < 3;
    c.drawImage(this.photo, 0, 0, this.width, this.height);
    if (this.showOthers) c.drawImage(this.others, 0, 0);
  }

  // Once a frame, however often it is asked for. `then` runs when it is on its way to the screen.
  draw(then) {
    if (then) (this.afterwards ||= []).push(then);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.drawNow();
      const done = this.afterwards || [];
      this.afterwards = null;
      for (const f of done) f();
    });
  }

  drawNow() {
    const c = this.context, ratio = devicePixelRatio || 1;
    c.setTransform(1, 0, 0, 1, 0, 0);
    if (this.backdropIsOld) this.makeBackdrop();
    if (this.overlayIsOld) this.makeOverlay();
    this.backdropIsOld = this.overlayIsOld = false;
    c.drawImage(this.backdrop, 0, 0);
    if (this.overlay) {
      const {x, y, width, height} = this.overlay;
      c.drawImage(this.layer, 0, 0, width, height, x, y, width, height);
    }
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.box) this.drawBox(c, this.box);
    if (this.drag) this.drawBox(c, this.drag);
    for (const p of this.points) this.drawPoint(c, p);
    if (this.cross) this.drawCross(c, this.toScreen(this.cross.x, this.cross.y));
    if (this.brush) this.drawBrush(c, this.brush);
  }

  // White within black, so that they show on everything.
  stroke(c) {
    c.lineWidth = 4;
    c.strokeStyle = "#000";
    c.stroke();
    c.lineWidth = 2;
    c.strokeStyle = "#fff";
    c.stroke();
  }

  drawBox(c, box) {
    const a = this.toScreen(box[0], box[1]), b = this.toScreen(box[2], box[3]);
    c.beginPath();
    c.rect(a.x, a.y, b.x - a.x, b.y - a.y);
    this.stroke(c);
  }

  drawPoint(c, point) { // a plus for foreground, a minus for background: not by colour alone
    const p = this.toScreen(point[0], point[1]);
    c.beginPath();
    c.arc(p.x, p.y, 7, 0, 2 * Math.PI);
    c.fillStyle = point[2] ? "#0a7d32" : "#c2185b";
    c.fill();
    c.lineWidth = 2;
    c.strokeStyle = "#fff";
    c.moveTo(p.x - 4, p.y);
    c.lineTo(p.x + 4, p.y);
    if (point[2]) {
      c.moveTo(p.x, p.y - 4);
      c.lineTo(p.x, p.y + 4);
    }
    c.stroke();
  }

  drawCross(c, p) {
    c.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      c.moveTo(p.x + 4 * dx, p.y + 4 * dy);
      c.lineTo(p.x + 16 * dx, p.y + 16 * dy);
    }
    this.stroke(c);
  }

  drawBrush(c, brush) {
    const p = this.toScreen(brush.x, brush.y);
    c.beginPath();
    c.arc(p.x, p.y, Math.max(1, brush.size * this.scale / 2), 0, 2 * Math.PI);
    this.stroke(c);
  }
}
