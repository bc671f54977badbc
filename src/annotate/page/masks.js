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

// A mask by its columns: the rows of column `first` + i that are in it are the intervals from rows[starts[i]], in pairs of
// a beginning and an end. What is drawn is made of these, since masks come as runs down the columns.
function columnsFromRuns(runs, height) {
  const rows = [], starts = [];
  let first = 0, at = 0;
  for (let i = 0; i < runs.length; i++) {
    const end = at + runs[i];
    for (let p = i % 2 ? at : end; p < end;) {
      const x = Math.floor(p / height), stop = Math.min(end, (x + 1) * height);
      if (!rows.length) first = x;
      while (starts.length <= x - first) starts.push(rows.length);
      rows.push(p - x * height, stop - x * height);
      p = stop;
    }
    at = end;
  }
  starts.push(rows.length);
  return {first, starts, rows};
}

// The same of the bits in a window, outside of which there are none.
function columnsFromBits(bits, width, {x0, y0, x1, y1}) {
  const rows = [], starts = [];
  for (let x = x0; x < x1; x++) {
    starts.push(rows.length);
    let value = 0;
    for (let y = y0, o = y0 * width + x; y < y1; y++, o += width)
      if (bits[o] !== value) {
        rows.push(y);
        value = bits[o];
      }
    if (value) rows.push(y1);
  }
  starts.push(rows.length);
  return {first: x0, starts, rows};
}

// The smallest window that holds all pixels; empty for none.
function windowOfColumns({first, starts, rows}) {
  const window = {x0: first, y0: Infinity, x1: first + starts.length - 1, y1: 0};
  for (let i = 0; i < rows.length; i += 2) {
    window.y0 = Math.min(window.y0, rows[i]);
    window.y1 = Math.max(window.y1, rows[i + 1]);
  }
  if (!rows.length) window.x1 = window.y0 = 0;
  return window;
}

// A window that holds these, too.
function include(window, x0, y0, x1, y1) {
  const isEmpty = window.x1 <= window.x0;
  window.x0 = isEmpty ? x0 : Math.min(window.x0, x0);
  window.y0 = isEmpty ? y0 : Math.min(window.y0, y0);
  window.x1 = isEmpty ? x1 : Math.max(window.x1, x1);
  window.y1 = isEmpty ? y1 : Math.max(window.y1, y1);
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

// The rows of a column that are in `a` and not in `b`, both lists of intervals: `paint` hears of each piece.
function paintDifference(a, b, paint) {
  for (let i = 0, k = 0; i < a.length; i += 2) {
    let at = a[i];
    while (k < b.length && b[k + 1] <= at) k += 2;
    for (let j = k; j < b.length && b[j] < a[i + 1]; j += 2) {
      if (b[j] > at) paint(at, b[j]);
      at = Math.max(at, b[j + 1]);
    }
    if (at < a[i + 1]) paint(at, a[i + 1]);
  }
}

const DARK = 0xff141414;
const packed = ([r, g, b], alpha) => (alpha << 24 | b << 16 | g << 8 | r) >>> 0;

// A mask as it lies on a canvas of width x height pixels, where the image is `scale` times as large and begins at
// (left, top): {data, x, y} with an ImageData of the part that is seen, or null. Its border, `border` pixels wide, is in
// full colour, its inside faint; with `rim` the outermost pixel is dark, so that it shows on everything. No work is done
// outside of the mask.
function paintColumns(columns, {scale, left, top, width, height}, border, colour, alpha, rim) {
  const window = windowOfColumns(columns);
  const toX = (x) => Math.ceil(x * scale + left - 0.5), toY = (y) => Math.ceil(y * scale + top - 0.5);
  const x0 = Math.max(0, toX(window.x0)), x1 = Math.min(width, toX(window.x1));
  const y0 = Math.max(0, toY(window.y0)), y1 = Math.min(height, toY(window.y1));
  if (!(x1 > x0 && y1 > y0)) return null;
  const w = x1 - x0, data = new ImageData(w, y1 - y0), pixels = new Uint32Array(data.data.buffer);
  const full = packed(colour, 255), faint = packed(colour, alpha);

  const column = (x) => { // of the canvas: its rows, pieces that touch there joined
    const i = Math.floor((x + 0.5 - left) / scale) - columns.first, found = [];
    if (i < 0 || i >= columns.starts.length - 1) return found;
    for (let r = columns.starts[i]; r < columns.starts[i + 1]; r += 2) {
      const begin = toY(columns.rows[r]), end = toY(columns.rows[r + 1]);
      if (begin >= end) continue;
      if (found.length && found[found.length - 1] >= begin) found[found.length - 1] = end;
      else found.push(begin, end);
    }
    return found;
  };
  let x = x0, value = full;
  const paint = (from, to) => {
    const stop = (Math.min(to, y1) - y0) * w;
    for (let o = (Math.max(from, y0) - y0) * w + x - x0; o < stop; o += w) pixels[o] = value;
  };
  const near = []; // columns x - border .. x + border
  for (let i = -border; i < border; i++) near.push(column(x0 + i));
  for (; x < x1; x++) {
    near.push(column(x + border));
    const here = near[border];
    value = faint;
    for (let i = 0; i < here.length; i += 2) paint(here[i] + border, here[i + 1] - border);
    for (const [wide, tone] of rim ? [[border, full], [1, DARK]] : [[border, full]]) {
      value = tone;
      for (let i = 0; i < here.length; i += 2) {
        paint(here[i], Math.min(here[i] + wide, here[i + 1]));
        paint(Math.max(here[i], here[i + 1] - wide), here[i + 1]);
      }
      paintDifference(here, near[border - wide], paint);
      paintDifference(here, near[border + wide], paint);
    }
    near.shift();
  }
  return {data, x: x0, y: y0};
}
