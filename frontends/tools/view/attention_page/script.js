"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const S = data.source.length, T = data.target.length, L = data.layers, H = data.heads;
const bytes = Uint8Array.from(atob(data.weights), c => c.charCodeAt(0));
const weights = new Float32Array(bytes.buffer);
const $ = id => document.getElementById(id);

// State: layer and head, -1 for the average; the cell under the pointer; whether it is kept.
let layer = L === 1 ? 0 : -1, head = H === 1 ? 0 : -1, at = null, kept = false;
const cache = new Map();

function averaged(l, h) {
  const key = l + "," + h;
  if (cache.has(key)) return cache.get(key);
  const out = new Float64Array(T * S);
  const layers = l < 0 ? [...Array(L).keys()] : [l], heads = h < 0 ? [...Array(H).keys()] : [h];
  for (const i of layers) for (const j of heads) {
    const from = (i * H + j) * T * S;
    for (let k = 0; k < T * S; ++k) out[k] += weights[from + k];
  }
  const n = layers.length * heads.length;
  for (let k = 0; k < T * S; ++k) out[k] /= n;
  cache.set(key, out);
  return out;
}

const stops = [[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]];
function color(f) {
  if (!(f >= 0)) return f < 0 ? stops[0] : [140, 146, 152];
  const p = Math.min(1, f) * 8, i = Math.min(7, Math.floor(p)), t = p - i;
  return stops[i].map((a, k) => Math.round(a + (stops[i + 1][k] - a) * t));
}
const css = c => "rgb(" + c.join(",") + ")";
function greatest(values, from, to) {
  let m = 0;
  for (let k = from; k < to; ++k) if (values[k] > m && values[k] < Infinity) m = values[k];
  return m || 1;
}
const digits = v => Number.isNaN(v) ? "NaN" : v >= 0.00005 || v <= 0 ? v.toFixed(4) : v.toExponential(1);

// Geometry of the large map, in CSS pixels.
const view = { cell: 0, left: 0, top: 0, font: 12 };
const family = getComputedStyle(document.body).fontFamily;
function clip(g, text, room) {
  if (g.measureText(text).width <= room) return text;
  const letters = Array.from(text);
  while (letters.length && g.measureText(letters.join("") + "\u2026").width > room) letters.pop();
  return letters.join("") + "\u2026";
}
function layout(g) {
  const room = Math.max(320, $("map").parentElement.clientWidth);
  g.font = "12px " + family;
  const long = list => Math.min(150, Math.max(...list.slice(0, 2000).map(t => g.measureText(t).width)));
  view.left = Math.round(long(data.target) + 34);
  view.top = Math.round(long(data.source) * 0.83 + 46);
  view.lean = long(data.source.slice(-3)) * 0.6;
  view.cell = Math.max(4, Math.min(52, Math.floor((room - view.left - view.lean - 8) / S)));
  view.font = Math.max(9, Math.min(13, view.cell * 0.8));
}
function draw() {
  const canvas = $("map"), ratio = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), faint = style.getPropertyValue("--faint"), accent = style.getPropertyValue("--accent");
  const g = canvas.getContext("2d");
  layout(g);
  const { cell, left, top } = view, width = left + cell * S + view.lean + 8, height = top + cell * T + 8;
  canvas.width = width * ratio; canvas.height = height * ratio;
  canvas.style.width = width + "px"; canvas.style.height = height + "px";
  g.scale(ratio, ratio);
  const values = averaged(layer, head), byRow = $("rows").checked, top1 = greatest(values, 0, T * S);
  const gap = cell >= 12 ? 1 : 0;
  for (let t = 0; t < T; ++t) {
    const high = byRow ? greatest(values, t * S, t * S + S) : top1;
    for (let s = 0; s < S; ++s) {
      g.fillStyle = css(color(values[t * S + s] / high));
      g.fillRect(left + s * cell, top + t * cell, cell - gap, cell - gap);
      if (cell < 34 || !(values[t * S + s] >= 0.03 * high)) continue;
      g.fillStyle = values[t * S + s] > 0.6 * high ? "#1f2328" : "#fff";
      g.font = "11px " + family; g.textAlign = "center"; g.textBaseline = "middle";
      g.fillText(values[t * S + s].toFixed(2).replace(/^0/, ""), left + (s + 0.5) * cell, top + (t + 0.5) * cell);
    }
  }
  const every = Math.max(1, Math.ceil(view.font * 1.15 / cell));
  const label = (list, k, place) => {
    const now = at && (place === "row" ? at.t === k : at.s === k);
    if (k % every && !now) return;
    g.save();
    g.font = (now ? "600 " : "") + view.font + "px " + family;
    g.fillStyle = now ? accent : at && every > 1 ? faint : ink;
    g.textBaseline = "middle";
    if (place === "row") {
      g.textAlign = "right";
      g.fillText(clip(g, list[k], 150), left - 8, top + (k + 0.5) * cell);
    } else {
      g.translate(left + (k + 0.5) * cell, top - 8);
      g.rotate(-56 * Math.PI / 180);
      g.textAlign = "left";
      g.fillText(clip(g, list[k], 150), 0, 0);
    }
    g.restore();
  };
  for (let t = 0; t < T; ++t) label(data.target, t, "row");
  for (let s = 0; s < S; ++s) label(data.source, s, "column");
  g.fillStyle = faint; g.font = "12px " + family; g.textAlign = "center"; g.textBaseline = "top";
  g.fillText("source", left + S * cell / 2, 2);
  g.save(); g.translate(4, top + T * cell / 2); g.rotate(-Math.PI / 2); g.fillText("target", 0, 0); g.restore();
  if (at) {
    g.strokeStyle = accent; g.lineWidth = 1.5;
    g.strokeRect(left - 1, top + at.t * cell - 1, S * cell - gap + 2, cell - gap + 2);
    g.strokeRect(left + at.s * cell - 1, top - 1, cell - gap + 2, T * cell - gap + 2);
  }
  $("high").textContent = byRow ? "row maximum" : digits(top1);
  const where = (layer < 0 ? "average of layers" : "layer " + (layer + 1)) + ", " + (head < 0 ? "average of heads" : "head " + (head + 1));
  canvas.setAttribute("aria-label", "Attention weights, " + where);
}
function element(tag, name, text) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined) e.textContent = text;
  return e;
}
function details() {
  const values = averaged(layer, head), t = at ? at.t : 0;
  $("token").textContent = data.target[t];
  $("what").textContent = "Target " + (t + 1) + " of " + T + " attends to";
  const order = [...Array(S).keys()].sort((a, b) => values[t * S + b] - values[t * S + a]);
  const shown = order.slice(0, 10);
  if (at && !shown.includes(at.s)) shown.push(at.s);
  const high = greatest(values, t * S, t * S + S);
  $("list").replaceChildren(...shown.map(s => {
    const v = values[t * S + s], row = element("div", at && at.s === s ? "row now" : "row");
    const name = element("span", "name", data.source[s]), track = element("span", "track"), fill = element("div", "fill");
    name.title = data.source[s] + " (source " + (s + 1) + ")";
    fill.style.width = Math.max(0, Math.min(100, 100 * v / high)) + "%";
    track.append(fill);
    row.append(name, track, element("span", "value", digits(v)));
    return row;
  }));
}
function small(canvas, values) {
  canvas.width = S; canvas.height = T;
  const g = canvas.getContext("2d"), image = g.createImageData(S, T), high = greatest(values, 0, T * S);
  for (let k = 0; k < T * S; ++k) image.data.set([...color(values[k] / high), 255], 4 * k);
  g.putImageData(image, 0, 0);
}
function select(l, h) {
  layer = l; head = h;
  $("tip").hidden = true;
  $("layer").value = l; $("head").value = h;
  for (const b of $("heads").children) b.setAttribute("aria-pressed", String(+b.dataset.l === l && +b.dataset.h === h));
  const pressed = $("heads").querySelector('[aria-pressed="true"]');
  if (pressed) pressed.scrollIntoView({ block: "nearest", inline: "nearest" });
  draw(); details();
}
function start() {
  document.title = $("title").textContent = data.title || "Attention";
  for (const [id, n] of [["layer", L], ["head", H]]) {
    if (n > 1) $(id).append(new Option("average", -1));
    for (let i = 0; i < n; ++i) $(id).append(new Option(i + 1, i));
    $(id).disabled = n === 1;
    $(id).onchange = () => select(+$("layer").value, +$("head").value);
  }
  const heads = Math.min(H, 16);
  $("heads").style.gridTemplateColumns = "repeat(" + heads + ", minmax(0, " + (H === 1 ? "120px" : "1fr") + "))";
  for (let l = 0; l < L; ++l) for (let h = 0; h < H; ++h) {
    const b = element("button"), c = element("canvas");
    b.type = "button"; b.dataset.l = l; b.dataset.h = h;
    b.title = "layer " + (l + 1) + ", head " + (h + 1);
    b.setAttribute("aria-label", b.title);
    small(c, weights.subarray((l * H + h) * T * S, (l * H + h + 1) * T * S));
    b.append(c);
    b.onclick = () => select(l, h);
    $("heads").append(b);
  }
  const scale = $("scale").getContext("2d");
  for (let x = 0; x < 120; ++x) { scale.fillStyle = css(color(x / 119)); scale.fillRect(x, 0, 1, 10); }

  const point = e => {
    const box = $("map").getBoundingClientRect();
    const s = Math.floor((e.clientX - box.left - view.left) / view.cell), t = Math.floor((e.clientY - box.top - view.top) / view.cell);
    return s >= 0 && s < S && t >= 0 && t < T ? { s, t } : null;
  };
  const show = cell => {
    if (cell === at || (cell && at && cell.s === at.s && cell.t === at.t)) return;
    at = cell; draw(); details();
  };
  $("map").onmousemove = e => {
    const cell = point(e), tip = $("tip");
    tip.hidden = !cell;
    if (!cell) return;
    if (!kept) show(cell);
    tip.replaceChildren(data.target[cell.t] + " \u2192 " + data.source[cell.s], element("b", "", digits(averaged(layer, head)[cell.t * S + cell.s])));
    tip.style.left = Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = Math.min(e.clientY + 18, innerHeight - tip.offsetHeight - 8) + "px";
  };
  $("map").onmouseleave = () => { $("tip").hidden = true; if (!kept) show(null); };
  $("map").onclick = e => { const cell = point(e); kept = !kept && cell !== null; if (cell) show(cell); };
  $("rows").onchange = draw;
  addEventListener("resize", draw);
  addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
    const step = (value, by, n) => n === 1 ? 0 : (value + 1 + by + n + 1) % (n + 1) - 1;
    if (e.key === "ArrowLeft") select(layer, step(head, -1, H));
    else if (e.key === "ArrowRight") select(layer, step(head, 1, H));
    else if (e.key === "ArrowUp") select(step(layer, -1, L), head);
    else if (e.key === "ArrowDown") select(step(layer, 1, L), head);
    else if (e.key === "a" || e.key === "A") select(L === 1 ? 0 : -1, H === 1 ? 0 : -1);
    else return;
    e.preventDefault();
  });
  const theme = dark => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    $("theme").textContent = dark ? "Light" : "Dark";
    draw();
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  $("theme").onclick = () => theme(document.documentElement.dataset.theme !== "dark");
  system.onchange = e => theme(e.matches);
  select(layer, head);
  theme(system.matches);
}
start();
