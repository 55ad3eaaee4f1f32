"""Nothing in the repository depends on, or tells of, the place and the way it was written."""
import re

from repo import files, report, text

# Cut in two, so that this file does not find itself.
FORBIDDEN = ["/wo" "rk/", "/ro" "ot/", "/ho" "me/[a-z]", r"local" r"host[:/]", r"\bissue" r" #?[0-9]", r"\bsub-?" "agent",
             r"\b(this|our|my|previous|next|each|parallel) ses" "sions?\\b", r"\bClau" r"de\b", r"\bAnth" "ropic", r"\bChat" "GPT",
             r"\bCo" r"pilot\b", r"\bAI" "[- ]generated", r"\bTO" r"DO\b", r"\bFIX" r"ME\b", r"\bXX" r"X\b",
             r"\bpypi\." "org", r"registry\.npm" "js", r"crates\." "io", r"deb\." r"debian\.org",
             r"-----BEGIN [A-Z ]*PRI" "VATE KEY"]
pattern = re.compile("|".join(f"(?:{word})" for word in FORBIDDEN))
LIMIT = 1 << 20  # bytes; what is made or large does not belong here

problems, checked = [], 0
for path in files():
    content = text(path)
    checked += 1
    if len(content) > LIMIT:
        problems.append(f"{path}: {len(content)} bytes; the limit is {LIMIT}")
    if "\0" in content[:4096]:
        continue
    for number, line in enumerate(content.splitlines(), 1):
        if match := pattern.search(line):
            problems.append(f"{path}:{number}: '{match[0]}' in: {line.strip()[:100]}")
report(problems, checked)
