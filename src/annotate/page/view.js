"use strict";
// The canvas: the photograph, the masks that are there, the one at hand, prompts; zoom and pan. Coordinates are pixels
// of the image unless they are called screen's, which are CSS pixels of the canvas.
//
// Two things are kept from frame to frame, so that a click's mask is on the screen soon: the backdrop (photograph and
// other masks as they lie on the screen), and the overlay (the mask at hand, made at the screen's resolution).

class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.scale = 1;
    this.left = this.top = 0; // where the image's corner is on the screen
    this.photo = null;
    this.othersAreShown = true;
    this.backdrop = new OffscreenCanvas(1, 1);
    this.points = [];
    this.box = null;
    this.drag = null;   // the box while it is drawn
    this.cross = null;  // of the keyboard
    this.brush = null;  // where the pointer is, and the diameter
    this.waiting = false;
    new ResizeObserver(() => this.resized()).observe(canvas);
  }

  setPhoto(photo, width, height) {
    if (this.photo) this.photo.close();
    this.photo = photo;
    this.width = width;
    this.height = height;
    this.thick = Math.max(1, Math.round(Math.max(width, height) / 900));
    this.others = new OffscreenCanvas(width, height);
    this.mask = null; // at hand: {bits, window}
    this.cross = this.drag = this.box = null;
    this.points = [];
    this.fit();
  }

  resized() {
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.backdrop = new OffscreenCanvas(this.canvas.width, this.canvas.height);
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

  setOthers(masks) { // [{bits, window, colour}]
    const context = this.others.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    for (const m of masks) paintMask(context, m.bits, this.width, this.height, m.window, m.colour, 40, this.thick);
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

  setCurrent(bits, window) { // the bits may be changed later; then call it again
    this.mask = bits && window ? {bits, window} : null;
    this.overlayIsOld = true;
    this.draw();
  }

  // The mask at hand as it lies on the screen: every pixel of the screen that is in it, and its border.
  makeOverlay() {
    const ratio = devicePixelRatio || 1, s = this.scale * ratio, border = Math.round(1.5 * ratio);
    const {bits, window} = this.mask;
    const x0 = Math.max(0, Math.floor(window.x * s + this.left * ratio) - 1);
    const y0 = Math.max(0, Math.floor(window.y * s + this.top * ratio) - 1);
    const x1 = Math.min(this.canvas.width, Math.ceil((window.x + window.width) * s + this.left * ratio) + 1);
    const y1 = Math.min(this.canvas.height, Math.ceil((window.y + window.height) * s + this.top * ratio) + 1);
    this.overlay = null;
    if (x1 <= x0 || y1 <= y0) return;
    const w = x1 - x0, h = y1 - y0, inside = new Uint8Array(w * h), columns = new Int32Array(w);
    for (let x = 0; x < w; x++) {
      const column = Math.floor((x + x0 + 0.5 - this.left * ratio) / s);
      columns[x] = column < 0 || column >= this.width ? -1 : column;
    }
    for (let y = 0, o = 0; y < h; y++, o += w) {
      const row = Math.floor((y + y0 + 0.5 - this.top * ratio) / s);
      if (row < 0 || row >= this.height) continue;
      const at = row * this.width;
      for (let x = 0; x < w; x++) if (columns[x] >= 0) inside[o + x] = bits[at + columns[x]];
    }
    const data = new ImageData(w, h), pixels = new Uint32Array(data.data.buffer);
    const down = border * w;
    for (let y = 0, o = 0; y < h; y++)
      for (let x = 0; x < w; x++, o++) {
        if (!inside[o]) continue;
        const edge = x < border || x >= w - border || y < border || y >= h - border || !inside[o - border] ||
          !inside[o + border] || !inside[o - down] || !inside[o + down];
        pixels[o] = edge ? 0xff00e6ff : 0x6e00e6ff; // yellow; bytes are alpha, blue, green, red
      }
    this.overlay = {canvas: new OffscreenCanvas(w, h), x: x0, y: y0};
    this.overlay.canvas.getContext("2d").putImageData(data, 0, 0);
  }

  makeBackdrop() {
    const c = this.backdrop.getContext("2d"), ratio = devicePixelRatio || 1;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.backdrop.width, this.backdrop.height);
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
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.photo) return;
    if (this.backdropIsOld) this.makeBackdrop();
    if (this.overlayIsOld && this.mask) this.makeOverlay();
    this.backdropIsOld = this.overlayIsOld = false;
    c.drawImage(this.backdrop, 0, 0);
    if (this.mask && this.overlay) c.drawImage(this.overlay.canvas, this.overlay.x, this.overlay.y);
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
