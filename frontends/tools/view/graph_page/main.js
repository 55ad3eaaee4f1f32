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
  if (sel) parts.push(sel.kind === "n" ? "n=" + encodeURIComponent(G.nodes[sel.id].i) : "m=" + encodeURIComponent(G.clusters[sel.id].s));
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
