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

