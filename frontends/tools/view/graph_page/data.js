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
    // Bodies do not count where the loop or branch that runs them does.
    C.y = C.c.every(item => (item >= 0 ? graph.nodes[item] : graph.clusters[-1 - item]).y);
    for (const item of C.c) {
      const from = item >= 0 ? graph.nodes[item] : graph.clusters[-1 - item];
      if (!from.y || C.y) { C.F += from.F || 0; C.B += from.B || 0; C.u += from.u || 0; }
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

