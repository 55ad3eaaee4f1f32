"""What the repository tests share: the files, their includes, the tiers of headers, and the way to report."""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
BUILD = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "build").resolve()
LAYERS = ["framework", "graph", "ops", "optim", "frontends"]
SKIPPED = 77  # ctest counts this exit status as skipped


def files(*suffixes):
    """The repository's own files, as paths relative to the root: tracked or about to be."""
    listing = ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"]
    git = subprocess.run(listing, capture_output=True, text=True) if shutil.which("git") else None
    if git and git.returncode == 0:
        names = [ROOT / line for line in git.stdout.splitlines()]
    else:
        made = re.compile(r"(build.*|\.git|\.cache|demo|runs)/|.*__pycache__")
        names = [p for p in ROOT.rglob("*") if not made.match(str(p.relative_to(ROOT)))]
    names = sorted(p.relative_to(ROOT) for p in names if p.is_file())
    return [p for p in names if not suffixes or p.suffix in suffixes]


def text(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def includes(path):
    """(line number, opening character, name) of every include."""
    for number, line in enumerate(text(path).splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line):
            yield number, match[1], match[2]


def installed_headers():
    """The headers of the public and the extension tier, as cmake/install.cmake installs them."""
    recipe = text("cmake/install.cmake")
    entries = []
    for tier in ("FOVEA_PUBLIC_HEADERS", "FOVEA_EXTENSION_HEADERS"):
        body = re.search(tier + r"(.*?)\)\n", recipe, re.S)[1]
        entries += re.sub(r"#.*", "", body).split()
    private = re.compile(r"(_internal|-inl|\.(cpu|cuda))\.h$")
    return [p for p in files(".h")
            if not private.search(p.name)
            and any(p.match(e) if e.endswith(".h") else str(p).startswith(e + "/") for e in entries)]


def report(problems, checked):
    """Prints the problems and ends the test; checking nothing is a failure too."""
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems in {checked} checked")
    sys.exit(1 if problems or not checked else 0)
