"""Every folder says what lives in it. Folders of single ops are covered by the README above them."""
from repo import ROOT, files, report

folders = {parent for path in files() for parent in path.parents if str(parent) != "."}
folders = {f for f in folders if not f.parts[0].startswith(".") and len(f.parts) <= 2}
problems = []
for folder in sorted(folders):
    readme = ROOT / folder / "README.md"
    if not readme.exists():
        problems.append(f"{folder}: no README.md")
    elif len(readme.read_text().split()) < 10:
        problems.append(f"{folder}/README.md: says next to nothing")
report(problems, len(folders))
