"""docs/extend/op.md, followed literally: its op becomes two new files and nothing else, and works, in the tree and outside of it."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from repo import BUILD, ROOT, SKIPPED, files, includes, installed_headers, report, text

PAGE = "docs/extend/op.md"
compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
library = next((name for name in ("fovea_dev", "fovea") if (BUILD / f"lib{name}.so").exists()), None)
if not library:
    print(f"skipped: no shared library in {BUILD}")
    sys.exit(SKIPPED)

problems, checked = [], 0
folder = tempfile.TemporaryDirectory()
base = pathlib.Path(folder.name)
blocks = {name: (kind, body) for kind, name, body in
          re.findall(r"^```cpp (file|program) (\S+)\n(.*?)^```$", text(PAGE), re.M | re.S)}


def run(what, *command, cwd=None):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        problems.append(f"{what} fails:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.returncode == 0, done.stdout


def expect(holds, what):
    global checked
    checked += 1
    if not holds:
        problems.append(what)


def compile_and_run(what, sources, includes, binary):
    ccache = [shutil.which("ccache")] if shutil.which("ccache") else []
    objects = []
    for source in sources:
        objects.append(base / (source.stem + f"{len(objects)}.o"))
        if not run(f"{what}: {source.name}", *ccache, compiler, "-std=c++20", "-O0", "-Wall", "-Wextra",
                   *[f"-I{path}" for path in includes], "-c", source, "-o", objects[-1])[0]:
            return ""
    linked, _ = run(f"{what}: linking", compiler, *objects, "-o", binary, f"-L{BUILD}", f"-l{library}", f"-Wl,-rpath,{BUILD}",
                    *(["-fuse-ld=mold"] if shutil.which("mold") else []))
    return run(what, binary)[1] if linked else ""


# In the tree: the page's files beside a copy of all others.
tree = base / "tree"
for path in files():
    if path.parts[0] in ("ops", "cmake", "framework", "graph"):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tree / path)
before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
scaffold = [name for name, (kind, _) in blocks.items() if kind == "file"]
expect(len(scaffold) == 2, f"{PAGE} should show two files of an op, it shows {scaffold}")
op = pathlib.Path(scaffold[0]).parent.name
for name in scaffold:
    expect(pathlib.Path(name).parent == pathlib.Path("ops/composite") / op and pathlib.Path(name).stem == op,
           f"{name} is not named after its op")
    expect(not (tree / name).exists(), f"{name} is in the tree already")
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(blocks[name][1])

# What the build does: collect declarations and headers.
sources = sorted(str(path) for path in (tree / "ops").rglob("*.cpp"))
(base / "op_sources.txt").write_text("\n".join(sources) + "\n")
run("collecting", "cmake", "-D", f"SOURCES={base}/op_sources.txt", "-D", f"OUTPUT={base}/manifest.cpp", "-P", tree / "cmake/manifest.cmake")
manifest = (base / "manifest.cpp").read_text()
expect(f'add("{op}", fovea_op_{op});' in manifest, f"the manifest has no {op}")
after = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
expect({path: content for path, content in after.items() if path in before} == before, "a file that was there has changed")
expect(len(after) == len(before) + 2, f"{len(after) - len(before)} files were added, not 2")

# The op itself, compiled as in the tree and entered beside the built library's ops; judged by its samples and by arithmetic.
judge = base / "judge.cpp"
judge.write_text(f"""
#include "ops/composite/{op}/{op}.h"
#include <fovea/fovea.h>
#include <cmath>
#include <cstdio>
#include "graph/ir/op.h"
namespace fovea {{ FOVEA_OP({op}); }}
using namespace fovea;
int main() {{
  const OpDecl& op = register_op("{op}", fovea_op_{op});
  if (op.samples().empty() || op.error_samples().empty()) return 1;
  for (double x : {{-2.0, -0.5, 0.25, 3.0}}) {{
    const double got = {op}(Array::scalar(x)).item(), want = x / (1 + std::fabs(x));
    const Function f = [](const std::vector<Tensor>& in) {{ return std::vector<Tensor>{{{op}(in[0])}}; }};
    const double slope = grad(f)({{Array::scalar(x)}})[0].item(), wanted = 1 / ((1 + std::fabs(x)) * (1 + std::fabs(x)));
    if (std::fabs(got - want) > 1e-12 || std::fabs(slope - wanted) > 1e-12) return 2;
  }}
  try {{
    {op}(Array::zeros(DType::i64, {{2}}));
  }} catch (const Error& e) {{
    std::printf("%s\\n", e.what());
  }}
}}
""")
said = compile_and_run("the op in the tree", [tree / f"ops/composite/{op}/{op}.cpp", judge], [tree, ROOT, BUILD / "generated/include"],
                       base / "judge")
expect("x must be floating" in said, f"a bad operand gives: {said}")

# In a program of its own.
programs = [name for name, (kind, _) in blocks.items() if kind == "program"]
expect(len(programs) == 1, f"{PAGE} should show one program, it shows {programs}")
installed = {str(path) for path in installed_headers()}
for name in programs:
    (base / name).write_text(blocks[name][1])
    for number, opening, header in includes(base / name):
        expect(opening == "<" or header in installed, f"{name}:{number}: {header} is not installed")
    said = compile_and_run("the op outside the tree", [base / name], [ROOT, BUILD / "generated/include"], base / "outside")
    expect(said == "0.75 0.0625\n", f"{name} says: {said}")
report(problems, checked)
