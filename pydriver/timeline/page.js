// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the pydriver authors
//
// Draws the timeline. At every zoom, a frame visits no more slices of a track than there are pixels:
// where many share a pixel, the next slice to draw is found by bisection.

"use strict";

const $ = (id) => document.getElementById(id);
const GUTTER = 268, ROW = 20, HEAD = 24, GAP = 3, RULER = 24, COUNTER_ROW = 34, LEAST_SPAN = 0.05;
const MOST_FLOWS = 400;

const decode = (text, Kind) => {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Kind(bytes.buffer);
};

const data = JSON.parse($("data").textContent);
const labels = data.names.map((each) => {
  const at = each.indexOf("\n");
  return { category: each.slice(0, at), name: each.slice(at + 1) };
});

// The rows of the drawing, from top to bottom; a track knows its group, and a group its name.
const groups = [], all = [], tracks = [];
let total = 0;
for (const row of data.rows) {
  if (row.kind === "head") {
    groups.push(row.label);
    continue;
  }
  const track = {
    label: row.label, name: row.name || row.label, lane: row.lane || 0, group: groups.length - 1,
    begins: decode(row.begins, Float64Array), counter: row.kind === "levels",
  };
  all.push(track);
  if (track.counter) {
    Object.assign(track, { values: decode(row.values, Float64Array), height: COUNTER_ROW });
    continue;
  }
  Object.assign(track, {
    lengths: decode(row.lengths, Float64Array), names: decode(row.names, Int32Array),
    details: decode(row.details, Int32Array), depths: decode(row.depths, Uint8Array), first: total,
  });
  track.depth = 1 + track.depths.reduce((most, depth) => Math.max(most, depth), 0);
  track.height = track.depth * ROW;
  track.latest = latestEnds(track);
  tracks.push(track);
  total += track.begins.length;
}
// Arrows, each from its cause to its effect, and those at each slice.
const arrows = decode(data.arrows, Int32Array);
const arrowsOf = new Map();
for (let i = 0; i < arrows.length; i++) {
  const list = arrowsOf.get(arrows[i]);
  if (list) list.push(i >> 1); else arrowsOf.set(arrows[i], [i >> 1]);
}

// The latest end of all slices up to each one, for the search.
function latestEnds({ begins, lengths }) {
  let latest = -1;
  return begins.map((begin, i) => latest = Math.max(latest, begin + Math.max(0, lengths[i])));
}

const folded = new Set();
let rows = [], contentHeight = 0, filter = "", matching = null;

function arrange() {
  rows = [];
  let y = RULER, group = -1;
  for (const track of all) {
    if (matching && !track.matches) continue;
    if (track.group !== group) {
      group = track.group;
      rows.push({ head: groups[group], group, y, height: HEAD });
      y += HEAD;
    }
    if (folded.has(group)) continue;
    rows.push({ track, y, height: track.height + GAP * 2 });
    y += track.height + GAP * 2;
  }
  contentHeight = y + 8;
}

// --- colours

let dark = matchMedia("(prefers-color-scheme: dark)").matches;
let paint = {};

function setTheme(value) {
  dark = value;
  document.documentElement.classList.toggle("dark", dark);
  const style = getComputedStyle(document.documentElement);
  for (const name of data.palette) paint[name] = style.getPropertyValue(`--${name}`).trim();
  draw();
}
const irqlPaint = (level) => paint[data.irqls.find(([highest]) => level <= highest)[1]];

// --- the window on time

let from = 0, span = Math.max(data.span, LEAST_SPAN);
const view = $("view"), overview = $("overview"), scroll = $("scroll"), tip = $("tip");
const pen = view.getContext("2d"), over = overview.getContext("2d");
let width = 0, height = 0, selected = -1, hover = null, range = null, drawn = 0;
const toX = (time) => GUTTER + (time - from) / span * (width - GUTTER);
const toTime = (x) => from + (x - GUTTER) / (width - GUTTER) * span;

function move(start, length) {
  span = Math.min(Math.max(length, LEAST_SPAN), Math.max(data.span, LEAST_SPAN) * 1.02);
  from = Math.min(Math.max(start, -data.span * 0.01), data.span * 1.01 - span);
  if (span >= data.span) from = (data.span - span) / 2;
  draw();
}
function zoom(factor, time) {
  const length = Math.min(Math.max(span * factor, LEAST_SPAN), data.span * 1.02);
  move(time - (time - from) * length / span, length);
}

function duration(us) {
  const size = Math.abs(us);
  if (size >= 1e6) return `${(us / 1e6).toFixed(3)} s`;
  if (size >= 1e3) return `${(us / 1e3).toFixed(size >= 1e5 ? 1 : 3)} ms`;
  return `${us.toFixed(size >= 100 ? 1 : 2)} us`;
}

// The first slice that is not over at a time.
function firstAfter(latest, time) {
  let low = 0, high = latest.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (latest[middle] < time) low = middle + 1; else high = middle;
  }
  return low;
}
function firstBegin(begins, time, low) {
  let high = begins.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (begins[middle] < time) low = middle + 1; else high = middle;
  }
  return low;
}

// --- drawing

let wanted = false;
function draw() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => { wanted = false; drawAll(); });
}

function fit(canvas, context, w, h) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
    canvas.style.height = `${h}px`;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

function drawAll() {
  const started = performance.now();
  width = scroll.clientWidth;
  height = scroll.clientHeight;
  fit(view, pen, width, height);
  // The canvas stays in the window; the margin below it makes the scroll bar.
  view.style.marginBottom = `${Math.max(0, contentHeight - height)}px`;
  const top = scroll.scrollTop;
  drawn = 0;
  pen.fillStyle = paint.back;
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = "middle";
  drawGrid();
  for (const row of rows) {
    const y = row.y - top;
    if (y + row.height < RULER || y > height) continue;
    if (row.head !== undefined) drawHead(row, y); else drawTrack(row.track, y + GAP);
  }
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, RULER, width - GUTTER, height);
  pen.clip();
  drawFlows(top);
  pen.restore();
  drawRuler();
  if (range) {
    pen.fillStyle = paint.shade;
    pen.fillRect(Math.min(range[0], range[1]), RULER, Math.abs(range[1] - range[0]), height);
  }
  drawOverview();
  document.body.dataset.drawn = drawn;
  document.body.dataset.frame = (performance.now() - started).toFixed(1);
}

const step = () => {
  const least = span * data.tick_pixels / (width - GUTTER);
  return data.steps.find((each) => each.us >= least) || data.steps.at(-1);
};
// The ticks in the window. Each is counted from the beginning: added-up steps would add their errors.
function* ticks() {
  const { us, unit, scale, digits } = step();
  for (let i = Math.ceil(from / us); i * us <= from + span; i++) {
    yield [toX(i * us), `${(i * us / scale).toFixed(digits)} ${unit}`];
  }
}
function drawGrid() {
  pen.fillStyle = paint.line;
  for (const [x] of ticks()) pen.fillRect(Math.round(x), RULER, 1, height);
}
function drawRuler() {
  pen.fillStyle = paint.panel;
  pen.fillRect(0, 0, width, RULER);
  pen.fillStyle = paint.faint;
  pen.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
  pen.fillText(`${duration(span)} shown`, 12, RULER / 2);
  for (const [x, label] of ticks()) {
    if (x >= GUTTER && x < width - 30) pen.fillText(label, x + 4, RULER / 2);
  }
  pen.fillStyle = paint.line;
  pen.fillRect(0, RULER - 1, width, 1);
  pen.fillRect(GUTTER - 1, 0, 1, height);
}
function drawHead(row, y) {
  pen.fillStyle = paint.panel;
  pen.fillRect(0, y, width, row.height);
  pen.fillStyle = paint.text;
  pen.font = "600 12.5px system-ui, 'DejaVu Sans', sans-serif";
  pen.fillText(`${folded.has(row.group) ? "\u25b8" : "\u25be"} ${row.head}`, 10, y + row.height / 2);
}
function shorten(text, room) {
  if (pen.measureText(text).width <= room) return text;
  let low = 0, high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(text.slice(0, middle) + "\u2026").width <= room) low = middle; else high = middle - 1;
  }
  return low > 1 ? text.slice(0, low) + "\u2026" : "";
}

function drawTrack(track, y) {
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, Math.max(RULER, y - GAP), width - GUTTER, track.height + GAP * 2);
  pen.clip();
  if (track.counter) drawCounter(track, y); else drawSlices(track, y);
  pen.restore();
  pen.fillStyle = paint.back;
  pen.fillRect(0, y - GAP, GUTTER - 1, track.height + GAP * 2);
  pen.fillStyle = track.counter || track.lane ? paint.faint : paint.text;
  pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  const left = track.lane ? 40 : 24;
  pen.fillText(shorten(track.label, GUTTER - left - 10), left,
    y + Math.min(track.height, ROW) / 2);
}

function drawSlices(track, y) {
  const { begins, lengths, names, depths, latest } = track;
  const pixel = span / (width - GUTTER);
  const stop = from + span;
  const filled = new Float64Array(track.depth).fill(-1);
  pen.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
  let i = firstAfter(latest, from);
  while (i < begins.length && begins[i] <= stop) {
    const depth = depths[i], begin = begins[i], length = lengths[i];
    const label = labels[names[i]];
    const x = toX(begin);
    const w = Math.max(0, length) / pixel;
    const row = y + depth * ROW;
    const faded = matching && !track.nameMatches && !matching.has(names[i]);
    if (x + w >= filled[depth]) {
      drawn++;
      pen.globalAlpha = faded ? 0.14 : 1;
      pen.fillStyle = paint[label.category];
      if (length < 0) drawMoment(x, row);
      else {
        const left = Math.max(x, GUTTER - 2);
        const right = Math.min(x + Math.max(w, 1), width + 2);
        pen.fillRect(left, row + 1, right - left, ROW - 2);
        if (right - left > 28) drawLabel(label, left, right, row);
        filled[depth] = x + Math.max(w, 1);
      }
      if (track.first + i === selected) {
        pen.strokeStyle = paint.text;
        pen.lineWidth = 2;
        pen.strokeRect(Math.max(x, GUTTER), row + 1, Math.max(w, 3), ROW - 2);
      }
      if (length < 0) filled[depth] = x + 1;
      pen.globalAlpha = 1;
    }
    // More slices in this pixel would not change it: skip them, unless a longer one begins in it.
    if (w < 1 && track.depth === 1) {
      const next = firstBegin(begins, begin + pixel, i + 1);
      i = skipTo(track, i + 1, next, pixel);
    } else i++;
  }
}
// The first slice in a pixel that is longer than the pixel, else the first one after the pixel.
function skipTo(track, i, next, pixel) {
  if (next - i > 64) return next;
  while (i < next && track.lengths[i] < pixel) i++;
  return i;
}
function drawMoment(x, row) {
  pen.beginPath();
  pen.moveTo(x, row + 4);
  pen.lineTo(x + 4, row + ROW - 4);
  pen.lineTo(x - 4, row + ROW - 4);
  pen.fill();
}
const PALE = new Set(data.pale);
function drawLabel(label, left, right, row) {
  pen.fillStyle = PALE.has(label.category) ? paint.text : paint.label;
  const text = shorten(label.name, right - left - 10);
  if (text) pen.fillText(text, Math.max(left, GUTTER) + 5, row + ROW / 2 + 0.5);
}

const HIGHEST_IRQL = data.irqls.at(-1)[0];
function drawCounter(track, y) {
  const { begins, values } = track;
  const pixel = span / (width - GUTTER);
  const bottom = y + track.height;
  const scale = (track.height - 2) / HIGHEST_IRQL;
  const bar = (value, begin, end) => {
    if (value <= 0) return;
    const x = toX(begin);
    pen.fillStyle = irqlPaint(value);
    pen.fillRect(x, bottom - value * scale, Math.max(toX(end) - x, 0.7), value * scale);
  };
  let i = Math.max(0, firstBegin(begins, from, 0) - 1);
  while (i < begins.length && begins[i] <= from + span) {
    const begin = begins[i];
    let next = i + 1, last = i, highest = values[i];
    const limit = begin + pixel;
    if (next < begins.length && begins[next] < limit) {
      next = firstBegin(begins, limit, next);
      last = next - 1;
      const most = Math.min(next, i + 64);
      for (let j = i; j < most; j++) highest = Math.max(highest, values[j]);
    }
    // Of the samples in one pixel the highest fills it, and the last one holds until the next.
    const end = next < begins.length ? begins[next] : data.span;
    bar(values[last], begin, end);
    if (highest > values[last]) bar(highest, begin, Math.min(limit, end));
    i = next;
    drawn++;
  }
}

function place(index) {
  for (const row of rows) {
    const track = row.track;
    if (!track || track.counter || index < track.first) continue;
    const i = index - track.first;
    if (i < track.begins.length) {
      return {
        begin: track.begins[i], end: track.begins[i] + Math.max(0, track.lengths[i]),
        y: row.y + GAP + track.depths[i] * ROW + ROW / 2,
      };
    }
  }
  return null;
}
// The flows that lead to the selected slice, and those that lead on from it.
function chain() {
  if (selected < 0) return [];
  const found = new Set();
  const walk = (start, side) => {
    const queue = [start], seen = new Set(queue);
    while (queue.length && found.size < MOST_FLOWS) {
      const here = queue.shift();
      for (const flow of arrowsOf.get(here) || []) {
        const first = arrows[flow * 2], second = arrows[flow * 2 + 1];
        if ((side > 0 ? first : second) !== here) continue;
        found.add(flow);
        const next = side > 0 ? second : first;
        if (!seen.has(next)) { seen.add(next); queue.push(next); }
      }
    }
  };
  walk(selected, 1);
  walk(selected, -1);
  return [...found];
}
function drawFlows(top) {
  const found = chain();
  document.body.dataset.flows = found.length;
  pen.strokeStyle = pen.fillStyle = paint.accent;
  pen.lineWidth = 1.5;
  for (const flow of found) {
    const a = place(arrows[flow * 2]), b = place(arrows[flow * 2 + 1]);
    if (!a || !b) continue;
    const x1 = toX(Math.min(a.end, b.begin)), x2 = toX(b.begin);
    const y1 = a.y - top, y2 = b.y - top;
    const bend = Math.max(18, Math.abs(x2 - x1) / 2);
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(x2, y2);
    pen.lineTo(x2 - 7, y2 - 4);
    pen.lineTo(x2 - 7, y2 + 4);
    pen.fill();
  }
}

// --- the overview: the share of time that each level took

let busy = null;
function countBusy() {
  const bins = 600;
  busy = Object.fromEntries(data.levels.map(([name]) => [name, new Float64Array(bins)]));
  const bin = data.span / bins || 1;
  for (const track of tracks) {
    for (let i = 0; i < track.begins.length; i++) {
      const list = busy[labels[track.names[i]].category];
      if (!list) continue;
      const begin = track.begins[i], end = begin + Math.max(0, track.lengths[i]);
      const last = Math.min(bins - 1, Math.floor(end / bin));
      for (let at = Math.min(bins - 1, Math.floor(begin / bin)); at <= last; at++) {
        list[at] += Math.max(0, Math.min(end, (at + 1) * bin) - Math.max(begin, at * bin)) / bin;
      }
    }
  }
}
function drawOverview() {
  const w = overview.clientWidth, h = 48, room = w - GUTTER;
  fit(overview, over, w, h);
  over.fillStyle = paint.back;
  over.fillRect(0, 0, w, h);
  over.fillStyle = paint.faint;
  over.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
  over.textBaseline = "middle";
  let x = 12;
  for (const [name, title] of data.levels) {
    over.fillStyle = paint[name];
    over.fillRect(x, 32, 9, 9);
    over.fillStyle = paint.faint;
    over.fillText(title, x + 13, 37);
    x += 26 + over.measureText(title).width;
  }
  over.fillText(`Busy over ${duration(data.span)}`, 12, 15);
  const bins = busy.isr.length;
  const most = all.filter((track) => track.counter).length || 1;
  for (let i = 0; i < bins; i++) {
    let y = h - 3;
    for (const [name] of data.levels) {
      const size = Math.min(busy[name][i] / most, 1) * (h - 8);
      over.fillStyle = paint[name];
      over.fillRect(GUTTER + i * room / bins, y - size, room / bins + 0.3, size);
      y -= size;
    }
  }
  const left = GUTTER + Math.max(0, from / data.span) * room;
  const size = Math.max(2, Math.min(1, span / data.span) * room);
  over.fillStyle = paint.shade;
  over.fillRect(left, 0, size, h);
  over.strokeStyle = paint.accent;
  over.strokeRect(left + 0.5, 0.5, Math.max(size - 1, 1), h - 1);
}

// --- the slice under the pointer

function find(x, y) {
  const inside = y + scroll.scrollTop;
  if (y < RULER) return null;
  for (const row of rows) {
    if (inside < row.y || inside >= row.y + row.height) continue;
    if (row.head !== undefined) return { row };
    if (x < GUTTER) return { row, track: row.track };
    const track = row.track, time = toTime(x);
    if (track.counter) {
      const at = firstBegin(track.begins, time, 0) - 1;
      return at < 0 ? { row } : { row, track, value: track.values[at], time };
    }
    const depth = Math.floor((inside - row.y - GAP) / ROW), near = 4 * span / (width - GUTTER);
    let best = -1, distance = near;
    for (let i = firstAfter(track.latest, time - near), looked = 0;
      i < track.begins.length && track.begins[i] <= time + near && looked < 4000; i++, looked++) {
      if (track.depths[i] !== depth) continue;
      const end = track.begins[i] + Math.max(0, track.lengths[i]);
      const away = Math.max(track.begins[i] - time, time - end, 0);
      if (away <= distance) { best = i; distance = away; }
    }
    return best < 0 ? { row } : { row, track, index: best };
  }
  return null;
}

function showTip(found, x, y) {
  if (!found || !found.track) { tip.hidden = true; return; }
  const { track, index } = found;
  tip.textContent = "";
  const title = document.createElement("b"), rest = document.createElement("span");
  if (index !== undefined) {
    const label = labels[track.names[index]];
    const detail = data.details[track.details[index]].replaceAll("_", " ");
    const long = track.lengths[index];
    title.textContent = label.name;
    rest.textContent = `${label.category.replace("_", " ")}, ` +
      (long < 0 ? `at ${duration(track.begins[index])}` : `${duration(long)}, from ${duration(track.begins[index])}`) +
      (detail ? `\n${detail}` : "");
  } else if (found.value !== undefined) {
    title.textContent = `IRQL ${found.value}`;
    rest.textContent = `at ${duration(found.time)}`;
  } else {
    title.textContent = track.name;
    rest.textContent = track.counter ? "" : `${track.begins.length.toLocaleString("en")} events`;
  }
  tip.append(title, rest);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(x + 14, innerWidth - box.width - 8)}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18}px`;
}

// --- mouse and keys

let grip = null;
const local = (event) => {
  const box = view.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
view.addEventListener("pointerdown", (event) => {
  const [x, y] = local(event);
  view.focus({ preventScroll: true });
  view.setPointerCapture(event.pointerId);
  grip = { x, y, from, top: scroll.scrollTop, moved: false, range: event.shiftKey };
});
view.addEventListener("pointermove", (event) => {
  const [x, y] = local(event);
  if (!grip) { showTip(find(x, y), event.clientX, event.clientY); return; }
  if (Math.abs(x - grip.x) + Math.abs(y - grip.y) > 3) grip.moved = true;
  if (!grip.moved) return;
  tip.hidden = true;
  if (grip.range) { range = [grip.x, x]; draw(); return; }
  view.classList.add("moving");
  scroll.scrollTop = grip.top - (y - grip.y);
  move(grip.from - (x - grip.x) / (width - GUTTER) * span, span);
});
view.addEventListener("pointerup", (event) => {
  const [x, y] = local(event);
  view.classList.remove("moving");
  if (grip && !grip.moved) click(find(x, y));
  else if (range) {
    const times = range.map(toTime).sort((a, b) => a - b);
    range = null;
    move(times[0], times[1] - times[0]);
  }
  grip = null;
});
view.addEventListener("pointerleave", () => { tip.hidden = true; });
function click(found) {
  if (found && found.row.head !== undefined) {
    if (!folded.delete(found.row.group)) folded.add(found.row.group);
    arrange();
  }
  selected = found && found.index !== undefined ? found.track.first + found.index : -1;
  draw();
}
view.addEventListener("wheel", (event) => {
  if (event.shiftKey) return;
  event.preventDefault();
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    move(from + event.deltaX / (width - GUTTER) * span, span);
  } else zoom(1.0018 ** Math.max(-400, Math.min(400, event.deltaY)), toTime(Math.max(GUTTER, local(event)[0])));
}, { passive: false });
const middle = () => from + span / 2;
const keys = {
  w: () => zoom(0.6, middle()), s: () => zoom(1 / 0.6, middle()),
  a: () => move(from - span * 0.2, span), d: () => move(from + span * 0.2, span),
  0: () => move(0, data.span),
};
keys.ArrowUp = keys["+"] = keys.w;
keys.ArrowDown = keys["-"] = keys.s;
keys.ArrowLeft = keys.a;
keys.ArrowRight = keys.d;
keys.Escape = () => { selected = -1; draw(); };
addEventListener("keydown", (event) => {
  if (event.target === $("filter") || event.ctrlKey || event.metaKey || event.altKey) return;
  const action = keys[event.key];
  if (action) { event.preventDefault(); action(); }
  if (event.key === "/") { event.preventDefault(); $("filter").focus(); }
});
overview.addEventListener("pointerdown", (event) => {
  overview.setPointerCapture(event.pointerId);
  jump(event);
});
overview.addEventListener("pointermove", (event) => { if (event.buttons) jump(event); });
function jump(event) {
  const time = (event.offsetX - GUTTER) / (overview.clientWidth - GUTTER) * data.span;
  move(time - span / 2, span);
}
$("in").onclick = keys.w;
$("out").onclick = keys.s;
$("all").onclick = keys[0];
$("theme").onclick = () => setTheme(!dark);

// --- the filter: by track, or by event

function applyFilter() {
  filter = $("filter").value.trim().toLowerCase();
  matching = null;
  let count = 0;
  if (filter) {
    matching = new Set();
    labels.forEach((label, i) => {
      if (`${label.category} ${label.name}`.toLowerCase().includes(filter)) matching.add(i);
    });
    for (const track of all) {
      track.nameMatches = track.name.toLowerCase().includes(filter);
      let found = track.nameMatches && !track.counter ? track.begins.length : 0;
      if (!track.nameMatches && !track.counter) {
        for (let i = 0; i < track.names.length; i++) if (matching.has(track.names[i])) found++;
      }
      track.matches = track.nameMatches || found > 0;
      count += found;
    }
    $("matches").textContent = `${count.toLocaleString("en")} events`;
  } else $("matches").textContent = `${total.toLocaleString("en")} events`;
  document.body.dataset.matches = filter ? count : total;
  arrange();
  draw();
}
$("filter").addEventListener("input", applyFilter);
scroll.addEventListener("scroll", draw);
addEventListener("resize", draw);

countBusy();
applyFilter();
setTheme(dark);
move(0, data.span);
requestAnimationFrame(() => requestAnimationFrame(() => { document.body.dataset.ready = "1"; }));
