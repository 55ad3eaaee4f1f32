"""docs/ops is what the program writes from the declarations."""
import pathlib
import subprocess
import sys
import tempfile

from repo import BUILD, ROOT, SKIPPED, report

program = BUILD / "fovea"
if not program.exists():
    print(f"skipped: no program in {BUILD}")
    sys.exit(SKIPPED)

problems = []
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([program, "ops", "--markdown", folder], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in pathlib.Path(folder).glob("*.md")}
kept = {path.name: path.read_text() for path in (ROOT / "docs/ops").glob("*.md")}
for name in sorted(made.keys() | kept.keys()):
    if name not in kept:
        problems.append(f"docs/ops/{name} is missing")
    elif name not in made:
        problems.append(f"docs/ops/{name} belongs to no op")
    elif made[name] != kept[name]:
        problems.append(f"docs/ops/{name} is out of date")
if problems:
    print("build/fovea ops --markdown docs/ops  writes the pages anew")
report(problems, len(made))
