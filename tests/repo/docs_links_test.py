"""Links in README.md and docs/ lead to files and headings that are there; files that are named in backticks exist."""
import re

from repo import ROOT, files, report, text

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:framework|graph|ops|optim|frontends|tests|cmake)/[\w./-]+\.(?:h|cpp|md|py|cmake|proto))`")


def without_code(page):
    return re.sub(r"^```.*?^```$", lambda m: "\n" * m[0].count("\n"), text(page), flags=re.M | re.S)


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", without_code(page), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


# What docs/extend tells the reader to make.
MADE = set(re.findall(r"^```cpp file (\S+)$", text("docs/extend/op.md"), re.M))
problems, checked = [], 0
for page in files(".md"):
    if str(page) != "README.md" and page.parts[0] != "docs":
        continue
    for number, line in enumerate(without_code(page).splitlines(), 1):
        for link in LINK.findall(line):
            if re.match(r"[a-z]+:", link):
                continue
            checked += 1
            name, _, anchor = link.partition("#")
            target = (ROOT / page).parent / name if name else ROOT / page
            if not target.exists():
                problems.append(f"{page}:{number}: there is no {name}")
            elif anchor and anchor not in anchors(target.resolve().relative_to(ROOT)):
                problems.append(f"{page}:{number}: {name or page} has no heading '{anchor}'")
        for name in NAMED.findall(line):
            checked += 1
            if name not in MADE and not (ROOT / name).exists():
                problems.append(f"{page}:{number}: there is no {name}")
report(problems, checked)
