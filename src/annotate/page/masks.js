"use strict";
// Masks. "runs" are COCO's run lengths (down the columns, zeros first), "counts" their compressed text, "bits" one byte
// a pixel, row by row, as canvases have them.

function runsFromCounts(text) {
  const runs = [];
  for (let at = 0; at < text.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const digit = text.charCodeAt(at++) - 48;
      value |= (digit & 31) << shift;
      shift += 5;
      more = (digit & 32) !== 0;
      if (!more && (digit & 16) !== 0 && shift < 32) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return Uint32Array.from(runs);
}

function countsFromRuns(runs) {
  const out = [];
  for (let i = 0; i < runs.length; i++) {
    let value = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    let more = true;
    while (more) {
      const digit = value & 31;
      value >>= 5;
      more = (digit & 16) !== 0 ? value !== -1 : value !== 0;
      out.push(String.fromCharCode((more ? digit | 32 : digit) + 48));
    }
  }
  return out.join("");
}

function bitsFromRuns(runs, width, height) {
  const bits = new Uint8Array(width * height);
  let at = 0;
  for (let i = 0; i < runs.length; i++) {
    const end = at + runs[i];
    for (let p = i % 2 ? at : end; p < end;) {
      const x = Math.floor(p / height), stop = Math.min(end, (x + 1) * height);
      for (let o = (p - x * height) * width + x; p < stop; p++, o += width) bits[o] = 1;
    }
    at = end;
  }
  return bits;
}

function runsFromBits(bits, width, height) {
  const runs = [];
  let value = 0, length = 0;
  for (let x = 0; x < width; x++)
    for (let y = 0, o = x; y < height; y++, o += width) {
      if (bits[o] !== value) {
        runs.push(length);
        length = 0;
        value = bits[o];
      }
      length++;
    }
  runs.push(length);
  return Uint32Array.from(runs);
}

function areaOfRuns(runs) {
  let area = 0;
  for (let i = 1; i < runs.length; i += 2) area += runs[i];
  return area;
}

// The smallest window that holds all pixels: x, y, width, height; null for none.
function windowOfRuns(runs, height) {
  let x0 = Infinity, x1 = -1, y0 = Infinity, y1 = -1, at = 0;
  for (let i = 0; i < runs.length; i++) {
    if (i % 2 && runs[i] > 0) {
      const last = at + runs[i] - 1, left = Math.floor(at / height), right = Math.floor(last / height);
      x0 = Math.min(x0, left);
      x1 = Math.max(x1, right);
      y0 = Math.min(y0, left === right ? at % height : 0);
      y1 = Math.max(y1, left === right ? last % height : height - 1);
    }
    at += runs[i];
  }
  return x1 < 0 ? null : {x: x0, y: y0, width: x1 - x0 + 1, height: y1 - y0 + 1};
}

// Colours that differ from each other and from most of what is photographed.
function colourOf(number) {
  const hue = (number * 137.508 + 20) % 360, s = 0.95, l = number % 2 ? 0.62 : 0.5;
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

// Paint a mask into a canvas of the image's size: its border in full colour, `thick` pixels wide, its inside faintly.
function paintMask(context, bits, imageWidth, imageHeight, area, colour, inside, thick) {
  if (!area) return;
  const data = new ImageData(area.width, area.height), pixels = new Uint32Array(data.data.buffer);
  const full = (255 << 24 | colour[2] << 16 | colour[1] << 8 | colour[0]) >>> 0;
  const faint = (inside << 24 | colour[2] << 16 | colour[1] << 8 | colour[0]) >>> 0;
  const xEnd = area.x + area.width, yEnd = area.y + area.height;
  for (let y = area.y, p = 0; y < yEnd; y++)
    for (let x = area.x, o = y * imageWidth + x; x < xEnd; x++, o++, p++) {
      if (!bits[o]) continue;
      const edge = x < thick || y < thick || x >= imageWidth - thick || y >= imageHeight - thick ||
        !bits[o - thick] || !bits[o + thick] || !bits[o - thick * imageWidth] || !bits[o + thick * imageWidth];
      pixels[p] = edge ? full : faint;
    }
  const piece = new OffscreenCanvas(area.width, area.height);
  piece.getContext("2d").putImageData(data, 0, 0);
  context.drawImage(piece, area.x, area.y);
}
