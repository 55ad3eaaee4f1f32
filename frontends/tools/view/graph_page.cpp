#include "frontends/tools/view/graph_page.h"

namespace fovea::tools {

const char* const kGraphPage = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Graph</title>
<style>
:root {
  --page: #f5f6f8; --card: #fff; --ink: #1d232b; --faint: #5f6b78; --line: #d9dfe6; --edge: #a3adb9; --accent: #2f63d6; --soft: #e8eefb;
  --cluster: #fbfcfd; --cluster-line: #ccd4dd; --shadow: 0 1px 2px rgba(20, 30, 45, .08);
  --product: #dce8fd; --product-line: #5b8def; --attention: #eadcfc; --attention-line: #8f56e8; --norm: #d5f0ea; --norm-line: #2c9c86;
  --fused: #dff2d8; --fused-line: #55a63a; --pointwise: #f1f3f5; --pointwise-line: #9aa5b1; --reduce: #fdeccd; --reduce-line: #d9932b;
  --move: #fff; --move-line: #c3ccd6; --random: #fbdfea; --random-line: #d65a8f; --io: #2a3442; --io-line: #2a3442; --io-ink: #fff;
  --control: #f0e2d3; --control-line: #a9763f; --update: #dfe3ee; --update-line: #6c78a8;
  color-scheme: light;
}
:root[data-theme="dark"] {
  --page: #0e1116; --card: #171b21; --ink: #e4e8ee; --faint: #8f9aa7; --line: #2b323b; --edge: #566170; --accent: #7ba6ff; --soft: #1f2a3f;
  --cluster: #13171d; --cluster-line: #353e49; --shadow: none;
  --product: #1b2c4d; --product-line: #4f7fdf; --attention: #33214f; --attention-line: #a377ec; --norm: #14352f; --norm-line: #35a58f;
  --fused: #1e3717; --fused-line: #5fae43; --pointwise: #20262e; --pointwise-line: #58636f; --reduce: #3d2e12; --reduce-line: #cf9338;
  --move: #171b21; --move-line: #444e5a; --random: #431f2f; --random-line: #d96c9b; --io: #dfe4ea; --io-line: #dfe4ea; --io-ink: #12161b;
  --control: #382a1b; --control-line: #b98751; --update: #262c3e; --update-line: #7f8cc0;
  color-scheme: dark;
}
* { box-sizing: border-box; }
html, body { height: 100%; }
body { margin: 0; display: flex; flex-direction: column; background: var(--page); color: var(--ink); font: 13px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; overflow: hidden; }
header { display: flex; align-items: center; gap: 12px; padding: 9px 16px; background: var(--card); border-bottom: 1px solid var(--line); z-index: 2; }
h1 { font-size: 15px; font-weight: 600; margin: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; min-width: 60px; }
#note { color: var(--faint); font-size: 12px; flex: 1; min-width: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
button, select, input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 7px; padding: 4px 10px; }
button, select { cursor: pointer; }
button:hover, select:hover, input:hover { border-color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.switch { display: flex; }
.switch button { border-radius: 0; white-space: nowrap; }
.switch button:first-child { border-radius: 7px 0 0 7px; }
.switch button:last-child { border-radius: 0 7px 7px 0; border-left: 0; }
.switch button[aria-pressed="true"] { background: var(--accent); border-color: var(--accent); color: var(--card); font-weight: 600; }
label { display: flex; align-items: center; gap: 6px; color: var(--faint); white-space: nowrap; }
label select { color: var(--ink); }
#find { position: relative; }
#find input { width: 200px; }
#hits { position: absolute; right: 0; top: calc(100% + 6px); width: 340px; max-height: 60vh; overflow: auto; background: var(--card); border: 1px solid var(--line); border-radius: 9px; box-shadow: 0 8px 28px rgba(10, 15, 25, .22); padding: 4px; margin: 0; list-style: none; z-index: 5; }
#hits li { padding: 5px 9px; border-radius: 6px; cursor: pointer; display: flex; gap: 8px; align-items: baseline; }
#hits li[aria-selected="true"], #hits li:hover { background: var(--soft); }
#hits b { font-weight: 600; white-space: nowrap; }
#hits span { color: var(--faint); font-size: 12px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
main { flex: 1; display: flex; min-height: 0; position: relative; }
#stage { flex: 1; min-width: 0; position: relative; }
svg { width: 100%; height: 100%; display: block; cursor: grab; touch-action: none; }
svg.drag { cursor: grabbing; }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.15; }
.edge.on { stroke: var(--accent); stroke-width: 2.2; }
.edge.link { stroke: var(--accent); stroke-width: 1.6; stroke-dasharray: 5 4; opacity: .8; }
.tick { fill: var(--edge); }
.tick.on { fill: var(--accent); }
#arrow path { fill: var(--edge); }
#arrow-on path { fill: var(--accent); }
.node, .cluster > .box { cursor: pointer; }
.node rect { stroke-width: 1.1; }
.node text { font-size: 12px; font-weight: 600; fill: var(--ink); pointer-events: none; text-anchor: middle; }
.node .detail { font-size: 10px; font-weight: 400; fill: var(--faint); font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace; }
.node.io rect { rx: 14px; } .node.io text, .node.io .detail { fill: var(--io-ink); }
.shut rect { fill: var(--card); stroke: var(--cluster-line); stroke-width: 1.2; }
.shut .under { fill: var(--cluster); }
.open > .box { fill: var(--cluster); stroke: var(--cluster-line); stroke-width: 1.1; }
.open > .name { font-size: 11.5px; font-weight: 600; fill: var(--faint); pointer-events: none; }
.open > .fold { font-size: 13px; fill: var(--faint); cursor: pointer; text-anchor: middle; }
.sel > rect.box, .sel > .box { stroke: var(--accent) !important; stroke-width: 2.4 !important; }
.hit > rect.box { stroke: var(--accent); stroke-width: 2; stroke-dasharray: 4 3; }
aside { width: 348px; flex: none; background: var(--card); border-left: 1px solid var(--line); overflow: auto; padding: 16px 18px 24px; }
aside h2 { font-size: 16px; font-weight: 600; margin: 0 0 2px; overflow-wrap: anywhere; }
aside h3 { font-size: 11px; font-weight: 600; letter-spacing: .05em; text-transform: uppercase; color: var(--faint); margin: 18px 0 6px; }
.path { color: var(--faint); overflow-wrap: anywhere; }
.path button { border: 0; background: none; padding: 0; color: var(--accent); }
.facts { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; margin-top: 12px; }
.fact { background: var(--page); border-radius: 8px; padding: 7px 10px; }
.fact b { display: block; font-size: 15px; font-weight: 600; font-variant-numeric: tabular-nums; }
.fact span { color: var(--faint); font-size: 11px; }
.list { list-style: none; margin: 0; padding: 0; }
.list li { padding: 4px 0; border-bottom: 1px solid var(--line); display: flex; gap: 8px; justify-content: space-between; align-items: baseline; overflow-wrap: anywhere; }
.list li:last-child { border-bottom: 0; }
.list button { border: 0; background: none; padding: 0; color: var(--accent); text-align: left; overflow-wrap: anywhere; }
.mono { font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace; font-size: 11.5px; color: var(--faint); overflow-wrap: anywhere; }
li .mono { text-align: right; }
.num { font-variant-numeric: tabular-nums; color: var(--faint); white-space: nowrap; }
.verdict { border-radius: 8px; padding: 9px 11px; background: var(--page); border-left: 3px solid var(--reduce-line); margin-bottom: 8px; overflow-wrap: anywhere; }
.verdict.fused { border-color: var(--fused-line); }
.verdict b { font-weight: 600; }
.bar { height: 4px; border-radius: 2px; background: var(--line); margin-top: 3px; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); }
#legend { position: absolute; left: 14px; bottom: 12px; display: flex; flex-wrap: wrap; gap: 4px 12px; max-width: calc(100% - 160px); background: var(--card); border: 1px solid var(--line); border-radius: 9px; padding: 6px 11px; font-size: 11.5px; color: var(--faint); box-shadow: var(--shadow); align-items: center; }
#legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; border: 1px solid; margin-right: 5px; vertical-align: -1px; }
#ramp { width: 110px; height: 9px; border-radius: 3px; display: inline-block; }
#zoom { position: absolute; right: 14px; bottom: 12px; display: flex; gap: 4px; }
#zoom button { width: 32px; padding: 4px 0; box-shadow: var(--shadow); }
#help { position: absolute; inset: 0; background: rgba(10, 14, 20, .45); display: flex; align-items: center; justify-content: center; z-index: 9; }
#help[hidden], #hits[hidden] { display: none; }
#help div { background: var(--card); border-radius: 12px; padding: 20px 26px; max-width: 460px; }
#help table { border-spacing: 14px 5px; margin-left: -14px; }
kbd { font: inherit; font-size: 12px; border: 1px solid var(--line); border-radius: 5px; padding: 1px 6px; background: var(--page); }
@media (max-width: 900px) { aside { width: 260px; } #note, label > span { display: none; } #find input { width: 120px; } }
</style>
</head>
<body>
<header>
  <h1 id="title"></h1><select id="function" aria-label="Function" hidden></select><span id="note"></span>
  <div class="switch" role="group" aria-label="Which graph"><button id="before" type="button">As written</button><button id="after" type="button">As it runs</button></div>
  <label><span>Colour</span> <select id="colour"><option value="kind">kind</option><option value="time">time</option><option value="memory">memory</option></select></label>
  <div id="find"><input id="search" type="search" placeholder="Search  /" aria-label="Search" autocomplete="off" spellcheck="false"><ul id="hits" role="listbox" hidden></ul></div>
  <button id="theme" type="button" title="Light or dark (t)">Dark</button><button id="ask" type="button" title="Keys (?)">?</button>
</header>
<main>
  <div id="stage"><svg id="svg" tabindex="0" role="application" aria-label="Graph">
    <defs>
      <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6.5" markerHeight="6.5" orient="auto"><path d="M0 .8 8 4 0 7.2Z"/></marker>
      <marker id="arrow-on" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto"><path d="M0 .8 8 4 0 7.2Z"/></marker>
    </defs><g id="world"></g></svg>
    <div id="legend"></div>
    <div id="zoom"><button id="out" type="button" title="Smaller (-)">&minus;</button><button id="fit" type="button" title="All of it (0)">&#9633;</button><button id="in" type="button" title="Larger (+)">+</button></div>
  </div>
  <aside id="panel" aria-live="polite"></aside>
  <div id="help" hidden><div><h2>Keys</h2><table>
    <tr><td><kbd>/</kbd></td><td>search by op, module, shape or source line</td></tr>
    <tr><td><kbd>&uarr;</kbd> <kbd>&darr;</kbd></td><td>to what comes before, to what comes after</td></tr>
    <tr><td><kbd>&larr;</kbd> <kbd>&rarr;</kbd></td><td>to the neighbour on the left, on the right</td></tr>
    <tr><td><kbd>Enter</kbd></td><td>open or close a module; bring an operation into view</td></tr>
    <tr><td><kbd>C</kbd></td><td>close the module around the selection</td></tr>
    <tr><td><kbd>O</kbd> <kbd>X</kbd></td><td>open all modules, close all</td></tr>
    <tr><td><kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd></td><td>larger, smaller, all of it</td></tr>
    <tr><td><kbd>B</kbd></td><td>as written, as it runs</td></tr>
    <tr><td><kbd>H</kbd></td><td>colour by kind, time, memory</td></tr>
    <tr><td><kbd>T</kbd></td><td>light or dark</td></tr></table></div></div>
</main>
<script type="application/json" id="data">@GRAPHS@</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const svg = $("svg"), world = $("world"), space = svg.namespaceURI;
const KINDS = [["product", "products"], ["attention", "attention"], ["norm", "softmax, norms"], ["fused", "fused regions"], ["pointwise", "elementwise"], ["reduce", "reductions"], ["move", "layout"], ["random", "random"], ["control", "control flow"], ["update", "updates"], ["io", "arguments, results"]];
const HEAD = 26, PAD = 16, RANK_GAP = 34, PORT_GAP = 16, ITEM_GAP = 26, BEND_GAP = 12, NODE_H = 38, SHUT_H = 42;

// State: the function, which of its graphs, the open modules (by path), what is selected, the view.
let fn = 0, side = "before", colour = "kind", G = null, sel = null, shown = new Map(), hits = new Set();
const open = new Set();
const view = { x: 0, y: 0, k: 1 };

function make(tag, attributes, text) {
  const e = document.createElementNS(space, tag);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  if (text !== undefined) e.textContent = text;
  return e;
}
function html(tag, name, text) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined) e.textContent = text;
  return e;
}
const amount = (x, units, base) => {
  let i = 0;
  while (x >= base && i < units.length - 1) { x /= base; ++i; }
  return (x >= 100 || i === 0 && Number.isInteger(x) ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2)) + units[i];
};
const count = x => amount(x, ["", " k", " M", " G", " T"], 1000);
const bytes = x => amount(x, [" B", " KiB", " MiB", " GiB", " TiB"], 1024);
const time = us => us >= 1000 ? amount(us / 1000, [" ms", " s"], 1000) : amount(us, [" \u00b5s"], 1e9);
const short = (text, n) => text.length > n ? text.slice(0, n - 1) + "\u2026" : text;
const label = n => n.n || n.o;

// What a graph needs to be walked: where every node lies, who reads it, sums by module.
function prepare(graph) {
  if (graph.ready) return graph;
  graph.ready = true;
  graph.where = new Array(graph.nodes.length);
  graph.readers = graph.nodes.map(() => []);
  graph.nodes.forEach((n, v) => { for (const i of n.in || []) if (Array.isArray(i)) graph.readers[i[0]].push(v); });
  graph.itemOf = new Array(graph.clusters.length).fill(-1);
  graph.clusters.forEach((c, id) => {
    c.id = id;
    c.F = c.B = c.u = c.P = c.N = 0;
    c.c.forEach((item, k) => { if (item >= 0) graph.where[item] = [id, k]; else graph.itemOf[-1 - item] = k; });
  });
  for (let c = graph.clusters.length - 1; c >= 0; --c) {
    const C = graph.clusters[c];
    for (const item of C.c) {
      const from = item >= 0 ? graph.nodes[item] : graph.clusters[-1 - item];
      C.F += from.F || 0; C.B += from.B || 0; C.u += from.u || 0;
      C.P += (item >= 0 ? from.p : from.P) || 0; C.N += item >= 0 ? 1 : from.N;
    }
  }
  graph.byPath = new Map(graph.clusters.map(c => [c.s, c.id]));
  return graph;
}
function defaultOpen(graph) {
  let visible = graph.clusters[0].c.length;
  const queue = [0];
  for (const c of queue) for (const item of graph.clusters[c].c) {
    if (item >= 0) continue;
    const child = graph.clusters[-1 - item];
    if (visible + child.c.length > 46) continue;
    visible += child.c.length - 1;
    open.add(child.s);
    queue.push(-1 - item);
  }
}
const isOpen = c => c === 0 || open.has(G.clusters[c].s);

// Moves a rank as near to the wanted places as its widths allow (pools of neighbours that are too near).
function settle(row) {
  const pools = [];
  let shift = 0;
  row.forEach((e, k) => {
    if (k > 0) shift += (row[k - 1].w + e.w) / 2 + (row[k - 1].bend || e.bend ? BEND_GAP : ITEM_GAP);
    e.shift = shift;
    pools.push({ sum: e.want - shift, n: 1 });
    while (pools.length > 1 && pools[pools.length - 2].sum / pools[pools.length - 2].n > pools[pools.length - 1].sum / pools[pools.length - 1].n) {
      const p = pools.pop();
      pools[pools.length - 1].sum += p.sum; pools[pools.length - 1].n += p.n;
    }
  });
  let k = 0;
  for (const p of pools) for (let i = 0; i < p.n; ++i, ++k) row[k].x = p.sum / p.n + row[k].shift;
}
// Boxes of a module's items, relative to its own corner. Ranks, orders and wanted places come with the data.
function arrange(c) {
  const C = G.clusters[c], items = C.c.length, ports = C.q.length, rows = Array.from({ length: C.r }, () => []);
  const box = C.i.map((p, k) => {
    const b = { w: C.w[k], h: 0, want: p[2], order: p[1], rank: p[0] };
    if (k < items) {
      const item = C.c[k];
      if (item < 0 && isOpen(-1 - item)) { b.inner = arrange(-1 - item); b.w = b.inner.w; b.h = b.inner.h; b.want -= b.inner.lean; }
      else b.h = item < 0 ? SHUT_H : G.nodes[item].d ? NODE_H : 28;
    } else b.w = 4, b.bend = true;
    rows[p[0]].push(b);
    return b;
  });
  const bends = C.b.map(p => { const b = { w: 4, h: 0, want: p[2], order: p[1], rank: p[0], bend: true }; rows[p[0]].push(b); return b; });
  let left = Infinity, right = -Infinity, y = c === 0 ? 0 : HEAD;
  const tops = [], bottoms = [];
  rows.forEach((row, r) => {
    row.sort((a, b) => a.order - b.order);
    settle(row);
    const h = row.reduce((m, b) => Math.max(m, b.h), 0);
    if (r > 0) y += h === 0 || tops[r - 1] === bottoms[r - 1] ? PORT_GAP + 4 : RANK_GAP;
    tops.push(y); bottoms.push(y + h);
    for (const b of row) {
      b.y = y + h / 2; b.top = b.y - b.h / 2; b.bottom = b.y + b.h / 2;
      b.rowTop = y; b.rowBottom = y + h;
      left = Math.min(left, b.x - b.w / 2); right = Math.max(right, b.x + b.w / 2);
    }
    y += h;
  });
  const room = c === 0 ? 0 : PAD;
  const w = Math.max(right - left + 2 * room, c === 0 ? 0 : 60 + 7.2 * Math.min(C.n.length, 30));
  const move = (w - (right - left)) / 2 - left;
  for (const b of [...box, ...bends]) b.x += move;
  const exit = C.x >= 0, h = y + (c === 0 ? 0 : exit ? 0 : PAD - 2);
  for (let p = 0; p < ports; ++p) box[items + p].y = box[items + p].bottom = box[items + p].top = 0;
  if (exit) box[C.x].y = box[C.x].top = box[C.x].bottom = h;
  // Where its edges come and go, from its middle: the box is moved so that they are straight.
  const ends = box.slice(items);
  const lean = ends.length ? ends.reduce((s, b) => s + b.x, 0) / ends.length - w / 2 : 0;
  return { w, h, box, bends, lean };
}

const curve = points => {
  let d = "M" + points[0][0].toFixed(1) + " " + points[0][1].toFixed(1);
  for (let i = 1; i < points.length; ++i) {
    const [x0, y0] = points[i - 1], [x1, y1] = points[i];
    if (Math.abs(x1 - x0) < 0.6) { d += "L" + x1.toFixed(1) + " " + y1.toFixed(1); continue; }
    const m = (y0 + y1) / 2;
    d += "C" + x0.toFixed(1) + " " + m.toFixed(1) + " " + x1.toFixed(1) + " " + m.toFixed(1) + " " + x1.toFixed(1) + " " + y1.toFixed(1);
  }
  return d;
};
function drawEdges(g, C, A, ox, oy) {
  const items = C.c.length, ends = new Map();
  const list = C.e.map(([from, to, flags, via]) => {
    const a = A.box[from], b = A.box[to], up = flags & 1, points = [];
    points.push([ox + a.x + (a.inner ? exitOf(C, from, a) : 0), oy + (up ? a.top : a.bottom)]);
    for (const v of via) {
      const bend = A.bends[v], two = [[ox + bend.x, oy + bend.rowTop], [ox + bend.x, oy + bend.rowBottom]];
      if (up) two.reverse();
      points.push(two[0]);
      if (two[0][1] !== two[1][1]) points.push(two[1]);
    }
    const e = { from, to, flags, points, b, up };
    if (b.inner) e.end = portOf(C, from, to, b);
    else if (to < items) { if (!ends.has(to)) ends.set(to, []); ends.get(to).push(e); }
    return e;
  });
  for (const into of ends.values()) {
    into.sort((p, q) => p.points[p.points.length - 1][0] - q.points[q.points.length - 1][0]);
    const step = Math.min(11, (into[0].b.w - 22) / Math.max(1, into.length - 1));
    into.forEach((e, k) => { e.end = (k - (into.length - 1) / 2) * step; });
  }
  for (const e of list) {
    const end = [ox + e.b.x + (e.end || 0), oy + (e.up ? e.b.bottom : e.b.top)];
    const attributes = { "data-c": C.id, "data-from": e.from, "data-to": e.to };
    if (e.flags & 2) {  // too long to be drawn: a tick at both ends
      const s = e.points[0], sign = e.up ? -1 : 1;
      if (e.from < items) g.append(make("circle", { class: "tick", cx: s[0], cy: s[1] + 5 * sign, r: 2, ...attributes }));
      if (e.to < items) g.append(make("path", { class: "edge cut", d: curve([[end[0], end[1] - 12 * sign], end]), "marker-end": "url(#arrow)", ...attributes }));
      continue;
    }
    e.points.push(end);
    const path = make("path", { class: "edge", d: curve(e.points), ...attributes });
    if (e.to < items && !e.b.inner) path.setAttribute("marker-end", "url(#arrow)");
    g.append(path);
  }
}
// Where, from the middle of an open module, its edges leave and those from item `from` arrive.
function exitOf(C, item, b) {
  const child = G.clusters[-1 - C.c[item]];
  return child.x >= 0 ? b.inner.box[child.x].x - b.inner.w / 2 : 0;
}
function portOf(C, from, to, b) {
  const child = G.clusters[-1 - C.c[to]], p = child.q.indexOf(from);
  return p >= 0 ? b.inner.box[child.c.length + p].x - b.inner.w / 2 : 0;
}

const LIGHT = [[244, 246, 249], [253, 229, 186], [250, 172, 98], [228, 92, 48], [160, 28, 30]];
const DARK = [[30, 36, 44], [70, 50, 34], [134, 72, 32], [205, 98, 44], [255, 186, 104]];
function heat(f) {
  const stops = document.documentElement.dataset.theme === "dark" ? DARK : LIGHT;
  const p = Math.max(0, Math.min(1, f)) * 4, i = Math.min(3, Math.floor(p)), t = p - i;
  const c = stops[i].map((a, k) => Math.round(a + (stops[i + 1][k] - a) * t));
  return { fill: "rgb(" + c.join(",") + ")", ink: c[0] * 0.3 + c[1] * 0.59 + c[2] * 0.11 > 135 ? "#1d232b" : "#fff" };
}
const measure = x => colour === "time" ? x.u || 0 : x.B || 0;

function paint(rect, texts, thing, kind, most) {
  if (colour === "kind") {
    if (kind) { rect.style.fill = "var(--" + kind + ")"; rect.style.stroke = "var(--" + kind + "-line)"; }
    return;
  }
  const h = heat(Math.sqrt(measure(thing) / most));
  rect.style.fill = h.fill;
  rect.style.stroke = "var(--cluster-line)";
  for (const t of texts) t.style.fill = h.ink;
}
function drawItem(parent, C, k, b, ox, oy, most) {
  const item = C.c[k], x = ox + b.x - b.w / 2, y = oy + b.top;
  if (b.inner) { drawCluster(parent, -1 - item, b.inner, x, y, most); return; }
  const node = item >= 0 ? G.nodes[item] : null, child = node ? null : G.clusters[-1 - item];
  const g = make("g", node ? { class: "node " + node.c, "data-node": item } : { class: "node shut", "data-cluster": -1 - item });
  if (child) {
    for (const d of [5, 2.5]) g.append(make("rect", { class: "under", x: x + d, y: y + d, width: b.w, height: b.h, rx: 8 }));
  }
  const rect = make("rect", { class: "box", x, y, width: b.w, height: b.h, rx: node ? 6 : 8 });
  const chars = Math.floor((b.w - 14) / 7.1);
  const first = make("text", { x: ox + b.x, y: y + (node && !node.d ? 18 : node ? 16 : 18) }, short(node ? label(node) : child.n, chars));
  const texts = [first];
  const below = node ? node.d : child.N + " operations";
  if (below) texts.push(make("text", { class: "detail", x: ox + b.x, y: y + (node ? 30 : 33) }, short(below, Math.floor((b.w - 10) / 5.9))));
  g.append(rect, ...texts);
  const tip = node ? label(node) + (node.s ? "\n" + node.s : "") + (node.f ? "\n" + node.f : "") : child.s + "\n" + child.N + " operations";
  g.append(make("title", {}, tip));
  paint(rect, texts, node || child, node && node.c, most);
  parent.append(g);
  shown.set(node ? "n" + item : "c" + (-1 - item), { g, x: ox + b.x, y: oy + b.y, w: b.w, h: b.h, cluster: C.id, item: k });
}
function drawCluster(parent, c, A, ox, oy, most) {
  const C = G.clusters[c];
  const g = make("g", c === 0 ? {} : { class: "cluster open", "data-cluster": c });
  if (c > 0) {
    g.append(make("rect", { class: "box", x: ox, y: oy, width: A.w, height: A.h, rx: 10 }));
    g.append(make("text", { class: "name", x: ox + 12, y: oy + 18 }, short(C.n, Math.floor((A.w - 44) / 7))));
    g.append(make("text", { class: "fold", x: ox + A.w - 14, y: oy + 17, "data-fold": c }, "\u2212"));
    shown.set("c" + c, { g, x: ox + A.w / 2, y: oy + A.h / 2, w: A.w, h: A.h, cluster: C.p, item: G.itemOf[c], open: true });
  }
  const edges = make("g", {});
  drawEdges(edges, C, A, ox, oy);
  g.append(edges);
  C.c.forEach((item, k) => drawItem(g, C, k, A.box[k], ox, oy, most));
  parent.append(g);
}
// The largest value among what is not open.
function greatest(c) {
  let m = 0;
  for (const item of G.clusters[c].c)
    m = Math.max(m, item >= 0 ? measure(G.nodes[item]) : isOpen(-1 - item) ? greatest(-1 - item) : measure(G.clusters[-1 - item]));
  return m;
}
function draw() {
  shown = new Map();
  const A = arrange(0), most = colour === "kind" ? 1 : greatest(0) || 1;
  world.replaceChildren();
  drawCluster(world, 0, A, 0, 0, most);
  view.w = A.w; view.h = A.h;
  legend(most);
  mark();
  document.body.dataset.visible = world.querySelectorAll(".node").length;
  document.body.dataset.side = side;
}
function legend(most) {
  const kinds = new Set(G.nodes.map(n => n.c));
  if (colour === "kind") {
    $("legend").replaceChildren(...KINDS.filter(k => kinds.has(k[0])).map(([k, text]) => {
      const span = html("span"), i = html("i");
      i.style.background = "var(--" + k + ")"; i.style.borderColor = "var(--" + k + "-line)";
      span.append(i, text);
      return span;
    }));
    return;
  }
  const ramp = html("span"), low = html("span", "", "0"), high = html("span", "", colour === "time" ? time(most) : bytes(most));
  ramp.id = "ramp";
  ramp.style.background = "linear-gradient(90deg," + [0, .25, .5, .75, 1].map(f => heat(f).fill).join(",") + ")";
  $("legend").replaceChildren(low, ramp, high, html("span", "", colour === "memory" ? "results of a box" : G.measured ? "measured" : "estimated from work and traffic"));
}

// Selection: a frame, the edges of its level, and dashed links to what lies in other modules.
const key = s => s && s.kind + s.id;
function visible(v) {
  const at = shown.get("n" + v);
  if (at) return at;
  for (let c = G.where[v][0]; c > 0; c = G.clusters[c].p) { const s = shown.get("c" + c); if (s && !s.open) return s; }
  return null;
}
function mark() {
  for (const e of world.querySelectorAll(".sel, .on, .hit")) e.classList.remove("sel", "on", "hit");
  for (const e of world.querySelectorAll(".link")) e.remove();
  for (const e of world.querySelectorAll(".edge[marker-end]")) e.setAttribute("marker-end", "url(#arrow)");
  for (const v of hits) { const at = visible(v); if (at && !at.open) at.g.classList.add("hit"); }
  const at = sel && shown.get(key(sel));
  if (!at) return;
  at.g.classList.add("sel");
  for (const e of world.querySelectorAll('[data-c="' + at.cluster + '"]'))
    if (+e.dataset.from === at.item || +e.dataset.to === at.item) {
      e.classList.add("on");
      if (e.hasAttribute("marker-end")) e.setAttribute("marker-end", "url(#arrow-on)");
    }
  if (sel.kind !== "n") return;
  const link = (a, b) => {
    if (!a || !b || a === b || a.cluster === b.cluster) return;
    const up = a.y > b.y;
    world.append(make("path", { class: "edge link", d: curve([[a.x, up ? a.y - a.h / 2 : a.y + a.h / 2], [b.x, up ? b.y + b.h / 2 : b.y - b.h / 2]]) }));
  };
  for (const i of G.nodes[sel.id].in || []) if (Array.isArray(i)) link(visible(i[0]), at);
  for (const v of new Set(G.readers[sel.id])) link(at, visible(v));
}
function reveal(c) { for (; c > 0; c = G.clusters[c].p) open.add(G.clusters[c].s); }
function select(kind, id, centre) {
  sel = id === undefined ? null : { kind, id };
  if (sel) {
    const before = shown.get(key(sel));
    if (!before) { reveal(kind === "n" ? G.where[id][0] : G.clusters[id].p); draw(); }
    else mark();
    const at = shown.get(key(sel));
    if (at && (centre || !before)) into(at);
  } else mark();
  panel();
  remember();
}
function into(at) {
  const w = svg.clientWidth, h = svg.clientHeight;
  if (view.k < 0.55) view.k = 0.9;
  view.x = w / 2 - at.x * view.k;
  view.y = h / 2 - Math.min(at.y, at.y - at.h / 2 + h / view.k / 2) * view.k;
  transform();
}
// Opens or closes a module without moving it on the screen.
function toggle(c) {
  if (c === 0) return;
  const path = G.clusters[c].s, old = shown.get("c" + c);
  if (open.has(path)) open.delete(path); else open.add(path);
  draw();
  const now = shown.get("c" + c);
  if (old && now) {
    view.x += (old.x - now.x) * view.k;
    view.y += (old.y - old.h / 2 - (now.y - now.h / 2)) * view.k;
    transform();
  }
  panel();
  remember();
}

function transform() { world.setAttribute("transform", "translate(" + view.x.toFixed(2) + " " + view.y.toFixed(2) + ") scale(" + view.k.toFixed(4) + ")"); }
// At a size that can be read, from the top; `whole`: all of it.
function fit(whole) {
  const w = svg.clientWidth, h = svg.clientHeight, legendRoom = 44;
  const all = Math.min((w - 48) / view.w, (h - 40 - legendRoom) / view.h);
  view.k = Math.max(0.04, Math.min(1.15, whole === true ? all : Math.max(all, Math.min(0.85, (w - 48) / view.w))));
  view.x = (w - view.w * view.k) / 2;
  view.y = view.h * view.k < h - 40 - legendRoom ? (h - legendRoom - view.h * view.k) / 2 : 20;
  transform();
}
function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
  const k = Math.max(0.04, Math.min(4, view.k * factor));
  view.x = x - (x - view.x) * k / view.k; view.y = y - (y - view.y) * k / view.k; view.k = k;
  transform();
}

// The panel.
function fact(value, what) {
  const f = html("div", "fact");
  f.append(html("b", "", value), html("span", "", what));
  return f;
}
function go(kind, id, text) {
  const b = html("button", "", text);
  b.type = "button";
  b.onclick = () => select(kind, id, true);
  return b;
}
function section(into, name, rows) {
  if (!rows.length) return;
  into.push(html("h3", "", name));
  const ul = html("ul", "list");
  for (const row of rows) { const li = html("li"); li.append(...row); ul.append(li); }
  into.push(ul);
}
function scopeLine(path) {
  const p = html("div", "path");
  const c = G.byPath.get(path);
  if (c > 0) p.append(go("c", c, path)); else p.textContent = path;
  return p;
}
function verdicts(list) {
  return list.map(r => {
    const v = html("div", "verdict " + r.v);
    v.append(html("b", "", r.v + (r.c ? "  " + r.c : "")), html("div", "", r.t));
    if (r.s) v.append(html("div", "mono", r.s));
    if (r.n) v.append(html("div", "", "Nearest accepted form: " + r.n));
    return v;
  });
}
function nodePanel(n, v, out) {
  out.push(html("h2", "", n.n && n.o !== n.n ? n.o + "  \u201c" + n.n + "\u201d" : n.o));
  if (n.s) out.push(scopeLine(n.s));
  if (n.f) out.push(html("div", "mono", n.f));
  const facts = html("div", "facts"), whole = G.clusters[0];
  if (n.u) facts.append(fact(time(n.u), (G.measured ? "measured, " : "estimated, ") + (100 * n.u / (whole.u || 1)).toFixed(1) + " %"));
  if (n.F) facts.append(fact(count(n.F), "FLOPs"));
  if (n.B) facts.append(fact(bytes(n.B), "results"));
  if (n.p) facts.append(fact(count(n.p), "parameters"));
  out.push(facts);
  if (n.r) { out.push(html("h3", "", "Fusion")); out.push(...verdicts(n.r.map(r => G.records[r]))); }
  section(out, "Results", (n.t || []).map((t, k) => [html("span", "num", "#" + k), html("span", "mono", t)]));
  section(out, "Inputs", (n.in || []).map(i => Array.isArray(i)
    ? [go("n", i[0], label(G.nodes[i[0]]) + (i[1] ? " #" + i[1] : "")), html("span", "mono", (G.nodes[i[0]].t || [])[i[1]] || "")]
    : [html("span", "", i.split(" ")[0]), html("span", "mono", i.split(" ").slice(1).join(" "))]));
  section(out, "Read by", [...new Set(G.readers[v])].slice(0, 40).map(r => [go("n", r, label(G.nodes[r])), html("span", "mono", G.nodes[r].s || "")]));
  section(out, "Attributes", (n.a || []).map(([k, x]) => [html("span", "", k), html("span", "mono", x)]));
  section(out, "Kernels", (n.k || []).map(([k, us]) => [html("span", "", k), html("span", "num", us ? time(us) : "")]));
  out.push(html("h3", "", "Node"), html("div", "mono", "%" + n.i));
}
function heaviest(c) {
  const all = [], walk = [c];
  while (walk.length) for (const item of G.clusters[walk.pop()].c) { if (item >= 0) all.push(item); else walk.push(-1 - item); }
  return all.filter(v => G.nodes[v].u > 0).sort((a, b) => G.nodes[b].u - G.nodes[a].u).slice(0, 10);
}
function clusterPanel(C, out) {
  out.push(html("h2", "", C.id === 0 ? data.functions[fn].name : C.n));
  if (C.id > 0) out.push(html("div", "path", C.s));
  const facts = html("div", "facts");
  facts.append(fact(String(C.N), "operations"));
  if (C.u) facts.append(fact(time(C.u), G.measured ? "measured" : "estimated"));
  if (C.F) facts.append(fact(count(C.F), "FLOPs"));
  if (C.B) facts.append(fact(bytes(C.B), "results"));
  if (C.P) facts.append(fact(count(C.P), "parameters"));
  out.push(facts);
  if (C.id === 0 && G.note) out.push(html("p", "path", G.note));
  if (C.id === 0 && G.records.length) {
    const fused = G.records.filter(r => r.v === "fused").length;
    out.push(html("h3", "", "Fusion: " + fused + " fused, " + (G.records.length - fused) + " refused"));
    out.push(...verdicts(G.records.slice(0, 12).map(r => ({ ...r, t: [r.h, r.t].filter(Boolean).join(": ") }))));
  }
  const top = heaviest(C.id);
  if (!top.length) return;
  out.push(html("h3", "", "Heaviest"));
  const ul = html("ul", "list"), most = G.nodes[top[0]].u;
  for (const v of top) {
    const n = G.nodes[v], li = html("li"), left = html("div"), bar = html("div", "bar"), fill = html("i");
    left.style.flex = "1";
    fill.style.width = 100 * n.u / most + "%";
    bar.append(fill);
    left.append(go("n", v, label(n)), html("div", "path", short(n.s || n.f || "", 44)), bar);
    li.append(left, html("span", "num", time(n.u)));
    ul.append(li);
  }
  out.push(ul);
}
function panel() {
  const out = [];
  if (sel && sel.kind === "n") nodePanel(G.nodes[sel.id], sel.id, out);
  else {
    const C = G.clusters[sel ? sel.id : 0];
    clusterPanel(C, out);
    if (C.id > 0) {
      const b = html("button", "", isOpen(C.id) ? "Close" : "Open");
      b.type = "button"; b.style.marginTop = "14px";
      b.onclick = () => toggle(C.id);
      out.push(b);
    }
  }
  $("panel").replaceChildren(...out);
  $("panel").scrollTop = 0;
}

// Search.
let found = [], cursor = 0;
function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  found = []; cursor = 0;
  if (words.length) G.nodes.forEach((n, v) => {
    const all = [n.o, n.n, n.s, n.f, n.d, ...(n.t || [])].join(" ").toLowerCase();
    if (words.every(w => all.includes(w))) found.push(v);
  });
  hits = new Set(found.slice(0, 400));
  mark();
  $("hits").hidden = !words.length;
  $("hits").replaceChildren(...found.slice(0, 60).map((v, k) => {
    const n = G.nodes[v], li = html("li");
    li.setAttribute("role", "option");
    li.setAttribute("aria-selected", String(k === 0));
    li.append(html("b", "", label(n)), html("span", "", [n.s, n.d].filter(Boolean).join("  ")));
    li.onmousedown = e => { e.preventDefault(); choose(v); };
    return li;
  }));
  if (words.length && !found.length) $("hits").append(html("li", "path", "nothing found"));
}
function choose(v) { $("hits").hidden = true; svg.focus(); select("n", v, true); }
function searchKey(e) {
  const rows = $("hits").children;
  if (e.key === "Escape") { $("search").value = ""; search(""); svg.focus(); }
  else if (e.key === "Enter" && found.length) choose(found[cursor]);
  else if ((e.key === "ArrowDown" || e.key === "ArrowUp") && found.length) {
    const last = Math.min(found.length, 60) - 1;
    rows[cursor].setAttribute("aria-selected", "false");
    cursor = Math.max(0, Math.min(last, cursor + (e.key === "ArrowDown" ? 1 : -1)));
    rows[cursor].setAttribute("aria-selected", "true");
    rows[cursor].scrollIntoView({ block: "nearest" });
    e.preventDefault();
  }
  e.stopPropagation();
}

// Keys.
function selectItem(c, k) {
  const item = G.clusters[c].c[k];
  if (item === undefined) return false;
  select(item >= 0 ? "n" : "c", item >= 0 ? item : -1 - item);
  const at = shown.get(key(sel));
  if (at) {
    const x = view.x + at.x * view.k, y = view.y + at.y * view.k;
    if (x < 60 || y < 60 || x > svg.clientWidth - 60 || y > svg.clientHeight - 60) into(at);
  }
  return true;
}
function step(direction) {
  const at = sel && shown.get(key(sel));
  if (!at) { selectItem(0, 0); return; }
  const C = G.clusters[at.cluster], items = C.c.length;
  if (direction === "left" || direction === "right") {
    const here = C.i[at.item];
    const row = C.i.map((p, k) => [p, k]).filter(([p, k]) => k < items && p[0] === here[0]).sort((a, b) => a[0][1] - b[0][1]).map(r => r[1]);
    const next = row[row.indexOf(at.item) + (direction === "left" ? -1 : 1)];
    if (next !== undefined) selectItem(at.cluster, next);
    return;
  }
  const up = direction === "up";
  const next = C.e.filter(e => (up ? e[1] : e[0]) === at.item).map(e => up ? e[0] : e[1]).filter(k => k < items).sort((a, b) => up ? C.i[b][0] - C.i[a][0] : C.i[a][0] - C.i[b][0]);
  if (next.length) { selectItem(at.cluster, next[0]); return; }
  if (!up && at.open) { selectItem(sel.id, 0); return; }
  if (at.cluster > 0) select("c", at.cluster);  // the border of the module
}
const actions = {
  "/": () => { $("search").focus(); $("search").select(); },
  ArrowUp: () => step("up"), ArrowDown: () => step("down"), ArrowLeft: () => step("left"), ArrowRight: () => step("right"),
  Enter: () => { if (!sel) return; if (sel.kind === "c") toggle(sel.id); else { const at = shown.get(key(sel)); if (at) into(at); } },
  c: () => { const at = sel && shown.get(key(sel)); const c = at ? (at.open ? sel.id : at.cluster) : 0; if (c > 0) { select("c", c); toggle(c); } },
  o: () => { if (G.nodes.length <= 6000) for (const C of G.clusters) open.add(C.s); draw(); fit(); panel(); remember(); },
  x: () => { open.clear(); if (sel && !shown.has(key(sel))) sel = null; draw(); fit(); panel(); remember(); },
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), "0": () => fit(true),
  b: () => show(fn, side === "before" ? "after" : "before"),
  h: () => recolour({ kind: "time", time: "memory", memory: "kind" }[colour]),
  t: () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
  "?": () => { $("help").hidden = !$("help").hidden; },
  Escape: () => { if (!$("help").hidden) $("help").hidden = true; else { hits.clear(); select(); } },
};
function recolour(to) { colour = to; $("colour").value = to; draw(); remember(); }
function theme(to) {
  document.documentElement.dataset.theme = to;
  $("theme").textContent = to === "dark" ? "Light" : "Dark";
  if (G) draw();
}

// Shows a graph; what was selected stays selected where it is there too.
function show(f, which) {
  const old = G && sel ? (sel.kind === "n" ? { ...G.nodes[sel.id], kind: "n" } : { s: G.clusters[sel.id].s, kind: "c" }) : null;
  const moved = G === null || f !== fn;
  fn = f; side = which;
  G = prepare(data.functions[fn][side]);
  if (moved) { open.clear(); defaultOpen(G); }
  sel = null; hits = new Set(); found = [];
  if (old && old.kind === "c" && G.byPath.get(old.s) > 0) sel = { kind: "c", id: G.byPath.get(old.s) };
  if (old && old.kind === "n") {
    const same = G.nodes.findIndex(n => n.o === old.o && n.s === old.s && n.f === old.f);
    if (same >= 0) sel = { kind: "n", id: same };
  }
  for (const s of ["before", "after"]) $(s).setAttribute("aria-pressed", String(s === side));
  $("function").value = fn;
  $("note").textContent = G.clusters[0].N + " operations" + (G.note ? " \u00b7 " + G.note : "");
  draw();
  fit();
  panel();
  remember();
}

// The address holds what is shown: #after,f=predict,n=12,open=all,colour=time,theme=dark
let remembering = false;
function remember() {
  if (!remembering) return;
  const parts = [side];
  if (data.functions.length > 1) parts.push("f=" + encodeURIComponent(data.functions[fn].name));
  if (sel) parts.push(sel.kind === "n" ? "n=" + G.nodes[sel.id].i : "m=" + encodeURIComponent(G.clusters[sel.id].s));
  if (colour !== "kind") parts.push("colour=" + colour);
  try { history.replaceState(null, "", "#" + parts.join(",")); } catch (e) { /* a page that may not change its address */ }
}
function recall() {
  remembering = false;
  const want = {};
  for (const part of location.hash.slice(1).split(",")) { const [k, v] = part.split("="); want[k] = v === undefined ? true : decodeURIComponent(v); }
  if (want.theme) theme(want.theme);
  if (["kind", "time", "memory"].includes(want.colour)) { colour = want.colour; $("colour").value = colour; }
  const named = data.functions.findIndex(f => f.name === want.f);
  show(named >= 0 ? named : Math.max(0, data.functions.findIndex(f => f.name === "predict")), want.after ? "after" : "before");
  if (want.open === "all") actions.o();
  if (want.open === "none") actions.x();
  if (want.n !== undefined) { const v = G.nodes.findIndex(n => String(n.i) === want.n); if (v >= 0) select("n", v, true); }
  if (want.m !== undefined && G.byPath.get(want.m) > 0) select("c", G.byPath.get(want.m), true);
  if (want.search) { $("search").value = want.search; search(want.search); }
  if (want.help) $("help").hidden = false;
  remembering = true;
}

document.title = data.title;
$("title").textContent = data.title;
data.functions.forEach((f, k) => $("function").append(new Option(f.name, k)));
$("function").hidden = data.functions.length < 2;
$("function").onchange = e => show(+e.target.value, side);
$("before").onclick = () => show(fn, "before");
$("after").onclick = () => show(fn, "after");
$("colour").onchange = e => recolour(e.target.value);
$("theme").onclick = actions.t;
$("ask").onclick = $("help").onclick = actions["?"];
$("in").onclick = () => zoom(1.25);
$("out").onclick = () => zoom(0.8);
$("fit").onclick = () => fit(true);
$("search").oninput = e => search(e.target.value);
$("search").onkeydown = searchKey;
$("search").onblur = () => { $("hits").hidden = true; };
addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey || ["INPUT", "SELECT"].includes(e.target.tagName)) return;
  if (e.key === "Enter" && e.target.tagName === "BUTTON") return;
  const action = actions[e.key] || actions[e.key.toLowerCase()];
  if (action) { e.preventDefault(); action(); }
});
addEventListener("hashchange", recall);
addEventListener("resize", transform);
svg.addEventListener("wheel", e => {
  e.preventDefault();
  const r = svg.getBoundingClientRect();
  if (e.shiftKey) { view.x -= e.deltaY || e.deltaX; transform(); }
  else zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0016)), e.clientX - r.left, e.clientY - r.top);
}, { passive: false });
let drag = null;
svg.addEventListener("pointerdown", e => { if (e.button === 0) { drag = { x: e.clientX, y: e.clientY, vx: view.x, vy: view.y, moved: false }; } });
addEventListener("pointermove", e => {
  if (!drag) return;
  const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
  if (!drag.moved && Math.hypot(dx, dy) < 4) return;
  drag.moved = true;
  svg.classList.add("drag");
  view.x = drag.vx + dx; view.y = drag.vy + dy;
  transform();
});
addEventListener("pointerup", () => { svg.classList.remove("drag"); setTimeout(() => { drag = null; }, 0); });
const target = e => e.target.closest("[data-fold], [data-node], [data-cluster]");
svg.addEventListener("click", e => {
  if (drag && drag.moved) return;
  const t = target(e);
  if (!t) { select(); return; }
  if (t.dataset.fold) toggle(+t.dataset.fold);
  else if (t.dataset.node) select("n", +t.dataset.node);
  else if (sel && sel.kind === "c" && sel.id === +t.dataset.cluster && !isOpen(sel.id)) toggle(sel.id);
  else select("c", +t.dataset.cluster);
});
theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
recall();
document.body.dataset.ready = "1";
</script>
</body>
</html>
)page";

}  // namespace fovea::tools
