"""cmake/manifest.cmake finds every declaration, refuses bad ones, and leaves an unchanged manifest alone."""
import pathlib
import subprocess
import tempfile

from repo import ROOT, files, report, text
import re

problems = []
folder = tempfile.TemporaryDirectory()
base = pathlib.Path(folder.name)
output = base / "manifest.cpp"


def generate(*contents):
    sources = []
    for i, content in enumerate(contents):
        source = base / f"source{i}.cpp"
        source.write_text(content)
        sources.append(str(source))
    (base / "sources.txt").write_text("\n".join(sources) + "\n")
    return subprocess.run(["cmake", "-D", f"SOURCES={base}/sources.txt", "-D", f"OUTPUT={output}",
                           "-P", ROOT / "cmake/manifest.cmake"], capture_output=True, text=True)


def expect(holds, what):
    if not holds:
        problems.append(what)


first = "namespace fovea {\nFOVEA_OP(softmax) { op.doc(\"x[i]; [\"); }\n// FOVEA_OP(commented)\nFOVEA_OP(exp) {\n}}\n"
kernel = "FOVEA_KERNEL(cpu, softmax, rows) {\n}\n"
done = generate(first, kernel)
expect(done.returncode == 0, f"a good manifest fails: {done.stderr}")
made = output.read_text()
for line in ("void fovea_op_softmax(OpDecl&);", 'add("softmax", fovea_op_softmax);', 'add("exp", fovea_op_exp);',
             "void fovea_kernel_cpu_softmax_rows(Kernel&);",
             'add("cpu", "softmax", "rows", fovea_kernel_cpu_softmax_rows);'):
    expect(made.count(line) == 1, f"not once in the manifest: {line}")
expect("commented" not in made, "a declaration in a comment was collected")

time = output.stat().st_mtime_ns
generate(first, kernel)
expect(output.stat().st_mtime_ns == time, "an unchanged manifest was written again")
generate(first, kernel, "FOVEA_OP(added) {\n")
expect('add("added", fovea_op_added);' in output.read_text(), "an added file was not collected")

done = generate(first, first)
expect(done.returncode != 0 and "'softmax' is declared twice" in done.stderr, "a second declaration was accepted")
done = generate("FOVEA_KERNEL(cpu,\n             softmax, rows) {\n")
expect(done.returncode != 0 and "complete on its line" in done.stderr, "a broken declaration was accepted")

# On the tree itself: no declaration may hide from the collector behind an indent.
for path in files(".cpp"):
    if path.parts[0] == "ops":
        for number, line in enumerate(text(path).splitlines(), 1):
            expect(not re.match(r"\s+FOVEA_(OP|KERNEL)\(\w", line), f"{path}:{number}: an indented declaration is not collected")
report(problems, 12)
