"""Every C++ block of README.md and docs/ compiles and runs, and prints what the page says it prints.

    ```cpp          statements. The blocks of one page run in order, in one function: a block sees what those above it declared
    ```cpp file     code outside any function; with a `main`, a program of its own that stands as it is
    ```text output  what the block above it writes to standard output, exactly

Blocks of kinds `cpp file PATH` and `cpp program NAME` are left to new_op_test.py.
`#include` lines may stand in any block. All but whole programs see <fovea/fovea.h> and `using namespace fovea`. Other languages are not run.
Errors name the page and its line. Blocks run in an empty folder. FOVEA_UPDATE_DOCS=1 writes what the programs print into the
pages; read the difference before you keep it. Names of pages as further arguments restrict the test to them.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from repo import BUILD, ROOT, SKIPPED, files, installed_headers, report, text

FENCE = re.compile(r"^```(.*)$")
MARK = "\x1e"  # printed before each block


class Block:
    def __init__(self, page, line, kind):
        self.page, self.line, self.kind, self.lines = page, line, kind, []
        self.output, self.output_line = None, 0

    def is_program(self):
        return self.kind == "cpp file" and any(line.startswith("int main(") for line in self.lines)

    def code(self):
        """The block with the page's line numbers, its includes left out."""
        body = ["" if line.lstrip().startswith("#include") else line for line in self.lines]
        return f'#line {self.line + 1} "{self.page}"\n' + "\n".join(body) + "\n"


def blocks_of(page):
    found, block, problems = [], None, []
    for number, line in enumerate(text(page).splitlines(), 1):
        fence = FENCE.match(line)
        if block is not None and fence:
            found.append(block)
            block = None
        elif fence:
            block = Block(str(page), number, fence[1].strip())
        elif block is not None:
            block.lines.append(line)
    cpp = []
    for b in found:
        if b.kind in ("cpp", "cpp file"):
            cpp.append(b)
        elif b.kind == "text output":
            if not cpp:
                problems.append(f"{page}:{b.line}: an output without a block above it")
            else:
                cpp[-1].output, cpp[-1].output_line = "\n".join(b.lines), b.line
        elif b.kind.startswith(("cpp file ", "cpp program ")):
            pass
        elif b.kind.startswith(("cpp", "c++", "C++")) or b.kind == "":
            problems.append(f"{page}:{b.line}: a fence of kind '{b.kind}'; see docs_snippets_test.py")
    return cpp, problems


def pages():
    only = sys.argv[3:]
    found = [p for p in files(".md") if str(p) == "README.md" or p.parts[0] == "docs"]
    return [p for p in found if not only or any(str(p).endswith(o) for o in only)]


def program(blocks):
    """One program of the blocks that are not programs themselves, a function a page."""
    includes, outside, calls = [], [], []
    for block in blocks:
        includes += [line.strip() for line in block.lines if line.lstrip().startswith("#include")]
    by_page = {}
    for block in blocks:
        by_page.setdefault(block.page, []).append(block)
    for page_number, (page, page_blocks) in enumerate(by_page.items()):
        body = ""
        for block in page_blocks:
            if block.kind == "cpp file":
                outside.append(block.code())
            else:
                body += f'std::printf("{MARK}%s:%d\\n", "{block.page}", {block.line});\n' + block.code()
        calls.append((page_number, body))
    start = ["#include <cstdio>", "#include <exception>", "#include <iostream>", "#include <fovea/fovea.h>"]
    out = "\n".join(dict.fromkeys(start + includes)) + "\nusing namespace fovea;\n"
    out += "".join(outside)
    for number, body in calls:
        out += f"void page_{number}() {{\n{body}}}\n"
    out += "int main() {\n  int bad = 0;\n  std::setvbuf(stdout, nullptr, _IONBF, 0);\n"
    for number, _ in calls:
        out += (f"  try {{ page_{number}(); }} catch (const std::exception& e) {{ bad = 1; "
                f'std::fprintf(stderr, "{list(by_page)[number]}: %s\\n", e.what()); }}\n')
    return out + "  return bad;\n}\n"


def compile_and_run(code, folder):
    """Problems, and what the program writes. Runs it in an empty folder."""
    folder.mkdir()
    source, binary = folder / "snippets.cpp", folder / "snippets"
    source.write_text(code)
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    command = ([shutil.which("ccache")] if shutil.which("ccache") else []) + [compiler]
    flags = ["-std=c++20", "-O0", "-Wall", "-Wno-unused-variable", "-Wno-unused-but-set-variable", "-I", ROOT, "-I", BUILD / "generated/include"]
    done = subprocess.run([*command, *flags, "-c", source, "-o", folder / "snippets.o"], capture_output=True, text=True)
    if done.returncode:
        return [f"a snippet does not compile:\n{done.stderr[:6000]}"], ""
    library = "fovea_dev" if list(BUILD.glob("libfovea_dev.so")) else "fovea"
    link = [compiler, folder / "snippets.o", "-o", binary, f"-L{BUILD}", f"-l{library}", f"-Wl,-rpath,{BUILD}"]
    done = subprocess.run([*link, *(["-fuse-ld=mold"] if shutil.which("mold") else [])], capture_output=True, text=True)
    if done.returncode:
        return [f"the snippets do not link:\n{done.stderr[:3000]}"], ""
    empty = folder / "empty"
    empty.mkdir()
    done = subprocess.run([binary], capture_output=True, text=True, cwd=empty)
    return ([f"a snippet fails:\n{done.stderr[-3000:]}"] if done.returncode else []), done.stdout


def update_page(block, output):
    """Puts `output` into the page's output fence of this block."""
    lines = text(block.page).splitlines()
    end = lines.index("```", block.output_line)
    lines[block.output_line:end] = output.strip("\n").splitlines()
    (ROOT / block.page).write_text("\n".join(lines) + "\n")


if not list(BUILD.glob("libfovea_dev.so")) and not list(BUILD.glob("libfovea.so")):
    print(f"skipped: no shared library in {BUILD}")
    sys.exit(SKIPPED)

blocks, problems = [], []
for page in pages():
    found, bad = blocks_of(page)
    blocks += found
    problems += bad
# A reader has the installed headers only.
installed = {str(path) for path in installed_headers()}
for block in blocks:
    for offset, line in enumerate(block.lines, 1):
        header = re.match(r'\s*#include "([^"]+)"', line)
        if header and header[1] not in installed:
            problems.append(f"{block.page}:{block.line + offset}: {header[1]} is not installed")
printed = {}
with tempfile.TemporaryDirectory() as folder:
    programs = [block for block in blocks if block.is_program()]
    for i, block in enumerate(programs):
        bad, printed[f"{block.page}:{block.line}"] = compile_and_run(f'#line {block.line + 1} "{block.page}"\n' + "\n".join(block.lines) + "\n",
                                                                     pathlib.Path(folder) / str(i))
        problems += bad
    rest = [block for block in blocks if block not in programs]
    bad, said = compile_and_run(program(rest), pathlib.Path(folder) / "rest") if rest else ([], "")
problems += bad
for part in said.split(MARK)[1:]:
    where, _, content = part.partition("\n")
    printed[where] = content
for block in reversed(blocks):  # from below: an update leaves the line numbers above it alone
    where = f"{block.page}:{block.line}"
    if block.output is None or where not in printed or printed[where].strip("\n") == block.output.strip("\n"):
        continue
    if os.environ.get("FOVEA_UPDATE_DOCS") == "1":
        update_page(block, printed[where])
    else:
        problems.append(f"{where}: the page says\n{block.output}\nthe program says\n{printed[where]}")
report(problems, len(blocks))
