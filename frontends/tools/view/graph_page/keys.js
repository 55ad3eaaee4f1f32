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

