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

