// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the pydriver authors
//
// Draws the timeline. Whatever the zoom, a frame looks at no more slices of a track than there are
// pixels: in a pixel that many share, the next one is found by bisection behind it.

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

// Rows from top to bottom: the heads of groups, and tracks.
let total = 0;
const tracks = data.tracks.map((track) => {
  const each = {
    name: track.name, group: track.group, lane: track.lane,
    begins: decode(track.begins, Float64Array), lengths: decode(track.lengths, Float64Array),
    names: decode(track.names, Int32Array), details: decode(track.details, Int32Array),
    first: total, counter: null, depth: 1,
  };
  total += each.begins.length;
  layOut(each);
  return each;
});
const flows = decode(data.flows, Int32Array);
const flowsOf = new Map();
for (let i = 0; i < flows.length; i++) {
  const list = flowsOf.get(flows[i]);
  if (list) list.push(i >> 1); else flowsOf.set(flows[i], [i >> 1]);
}

// Nesting: how many slices that enclose it are open where one begins; and, for the search, the
// latest end of all slices up to each one.
function layOut(track) {
  const { begins, lengths } = track;
  track.depths = new Uint8Array(begins.length);
  track.latest = new Float64Array(begins.length);
  const open = [];
  let latest = -1;
  for (let i = 0; i < begins.length; i++) {
    while (open.length && open[open.length - 1] <= begins[i] + 1e-9) open.pop();
    track.depths[i] = Math.min(open.length, 5);
    track.depth = Math.max(track.depth, track.depths[i] + 1);
    const end = begins[i] + Math.max(0, lengths[i]);
    latest = Math.max(latest, end);
    track.latest[i] = latest;
    if (lengths[i] >= 0) open.push(end);
  }
  track.height = track.depth * ROW;
}

function counterTrack(counter) {
  return {
    name: counter.name, group: 0, counter: true, height: COUNTER_ROW, depth: 1, first: -1,
    begins: decode(counter.times, Float64Array), values: decode(counter.values, Float64Array),
  };
}

const folded = new Set();
let rows = [], contentHeight = 0, filter = "", matching = null;

const all = [];
data.groups.forEach((name, group) => {
  const members = tracks.filter((track) => track.group === group);
  const counters = group === 0 ? data.counters.map(counterTrack) : [];
  members.forEach((track, i) => {
    all.push(track);
    if (counters[i]) all.push(counters[i]);
  });
});

function arrange() {
  rows = [];
  let y = RULER, group = -1;
  for (const track of all) {
    if (matching && !track.matches) continue;
    if (track.group !== group) {
      group = track.group;
      rows.push({ head: data.groups[group], group, y, height: HEAD });
      y += HEAD;
    }
    if (folded.has(group)) continue;
    rows.push({ track, y, height: track.height + GAP * 2 });
    y += track.height + GAP * 2;
  }
  contentHeight = y + 8;
}

// --- colours

const COLOURS = {
  isr: ["#d6455d", "#ff7d90"], dpc: ["#2f76d2", "#6ba8ff"], work_item: ["#2c9a62", "#5fd29a"],
  thread: ["#c3c8d1", "#454c59"], pending: ["#e0a021", "#f2bd54"],
  in_service: ["#d6455d", "#ff7d90"], masked: ["#8d95a3", "#6b7382"],
  queued: ["#b9cfee", "#3d5680"], running: ["#2f76d2", "#6ba8ff"],
  request: ["#8b63c9", "#b792f0"], completed: ["#2c9a62", "#5fd29a"],
  merged: ["#b4600f", "#f0a05a"], event: ["#6a7280", "#9aa3b2"],
};
let dark = matchMedia("(prefers-color-scheme: dark)").matches;
let paint = {};

function setTheme(value) {
  dark = value;
  document.documentElement.classList.toggle("dark", dark);
  const style = getComputedStyle(document.documentElement);
  for (const name of ["back", "panel", "line", "text", "faint", "accent", "shade"]) {
    paint[name] = style.getPropertyValue(`--${name}`).trim();
  }
  draw();
}
const colour = (category) => (COLOURS[category] || COLOURS.event)[dark ? 1 : 0];

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
  // The canvas stays in the window; what makes the scroll bar is below it.
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

function step() {
  const least = span / ((width - GUTTER) / 110);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least) || 10 * power;
}
function drawGrid() {
  pen.fillStyle = paint.line;
  const each = step();
  for (let at = Math.ceil(from / each) * each; at <= from + span; at += each) {
    pen.fillRect(Math.round(toX(at)), RULER, 1, height);
  }
}
function drawRuler() {
  pen.fillStyle = paint.panel;
  pen.fillRect(0, 0, width, RULER);
  pen.fillStyle = paint.faint;
  pen.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
  pen.fillText(`${duration(span)} shown`, 12, RULER / 2);
  const each = step();
  for (let at = Math.ceil(from / each) * each; at <= from + span; at += each) {
    const x = toX(at);
    if (x >= GUTTER && x < width - 30) pen.fillText(duration(Math.abs(at) < 1e-9 ? 0 : at), x + 4, RULER / 2);
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
  // A further lane of a track is called by what is on it.
  const text = track.lane ? labels[track.names[0]].category.replace("_", " ") : track.name;
  pen.fillStyle = track.counter || track.lane ? paint.faint : paint.text;
  pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  const left = track.lane ? 40 : 24;
  pen.fillText(shorten(text, GUTTER - left - 10), left,
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
      pen.fillStyle = colour(label.category);
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
    // What is left of this pixel looks the same: go on behind it, if nothing longer begins in it.
    if (w < 1 && track.depth === 1) {
      const next = firstBegin(begins, begin + pixel, i + 1);
      i = skipTo(track, i + 1, next, pixel);
    } else i++;
  }
}
// The first slice in a pixel that is longer than it; the first behind it if there is none.
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
const LIGHT = new Set(["queued", "thread"]);
function drawLabel(label, left, right, row) {
  const plain = LIGHT.has(label.category);
  pen.fillStyle = plain ? paint.text : dark ? "#0d1015" : "#ffffff";
  const text = shorten(label.name, right - left - 10);
  if (text) pen.fillText(text, Math.max(left, GUTTER) + 5, row + ROW / 2 + 0.5);
}

const MOST_IRQL = 15;
function drawCounter(track, y) {
  const { begins, values } = track;
  const pixel = span / (width - GUTTER);
  const bottom = y + track.height;
  const scale = (track.height - 2) / MOST_IRQL;
  pen.fillStyle = colour("isr");
  let i = Math.max(0, firstBegin(begins, from, 0) - 1);
  while (i < begins.length && begins[i] <= from + span) {
    const begin = begins[i];
    let next = i + 1, value = values[i];
    const limit = begin + pixel;
    if (next < begins.length && begins[next] < limit) {
      next = firstBegin(begins, limit, next);
      const most = Math.min(next, i + 64);
      for (let j = i; j < most; j++) value = Math.max(value, values[j]);
    }
    const end = next < begins.length ? begins[next] : data.span;
    if (value > 0) {
      pen.globalAlpha = value > 2 ? 0.75 : 0.32;
      const x = toX(begin);
      pen.fillRect(x, bottom - value * scale, Math.max(toX(end) - x, 0.7), value * scale);
    }
    i = next;
    drawn++;
  }
  pen.globalAlpha = 1;
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
// All flows that the selected slice is part of: those that lead to it and those that it leads to.
function chain() {
  if (selected < 0) return [];
  const found = new Set();
  const walk = (start, side) => {
    const queue = [start], seen = new Set(queue);
    while (queue.length && found.size < MOST_FLOWS) {
      const here = queue.shift();
      for (const flow of flowsOf.get(here) || []) {
        const [first, second] = ordered(flow);
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
const beginOf = (index) => {
  let low = 0, high = tracks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tracks[middle].first <= index) low = middle; else high = middle - 1;
  }
  return tracks[low].begins[index - tracks[low].first];
};
const ordered = (flow) => {
  const a = flows[flow * 2], b = flows[flow * 2 + 1];
  return beginOf(a) <= beginOf(b) ? [a, b] : [b, a];
};
function drawFlows(top) {
  const found = chain();
  document.body.dataset.flows = found.length;
  pen.strokeStyle = pen.fillStyle = paint.accent;
  pen.lineWidth = 1.5;
  for (const flow of found) {
    const [first, second] = ordered(flow);
    const a = place(first), b = place(second);
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

// --- the overview: how busy each level was

let busy = null;
function countBusy() {
  const bins = 600;
  busy = { isr: new Float64Array(bins), dpc: new Float64Array(bins), work_item: new Float64Array(bins) };
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
  for (const [name, title] of [["isr", "ISR"], ["dpc", "DPC"], ["work_item", "work item"]]) {
    over.fillStyle = colour(name);
    over.fillRect(x, 32, 9, 9);
    over.fillStyle = paint.faint;
    over.fillText(title, x + 13, 37);
    x += 26 + over.measureText(title).width;
  }
  over.fillText(`Busy over ${duration(data.span)}`, 12, 15);
  const bins = busy.isr.length;
  const most = data.counters.length || 1;
  for (let i = 0; i < bins; i++) {
    let y = h - 3;
    for (const name of ["isr", "dpc", "work_item"]) {
      const size = Math.min(busy[name][i] / most, 1) * (h - 8);
      over.fillStyle = colour(name);
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

// --- what is under the pointer

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
