"""Commands of the fovea program in README.md and docs/ are ones that it has, with options that it knows."""
import re
import shlex
import subprocess
import sys

from repo import BUILD, SKIPPED, files, report, text

program = BUILD / "fovea"
if not program.exists():
    print(f"skipped: no program in {BUILD}")
    sys.exit(SKIPPED)

helps = {}


def help_of(verbs):
    """The help of the deepest of these subcommands, and how many there are."""
    for depth in (2, 1):
        key = tuple(verbs[:depth])
        if key not in helps:
            done = subprocess.run([program, *key, "--help"], capture_output=True, text=True)
            right = done.returncode == 0 and f"fovea {' '.join(key)}" in done.stdout  # an unknown verb gives the general help
            helps[key] = done.stdout if right else ""
        if helps[key]:
            return helps[key]
    return ""


problems, checked = [], 0
for page in files(".md"):
    if str(page) != "README.md" and page.parts[0] != "docs":
        continue
    for number, line in enumerate(text(page).splitlines(), 1):
        command = re.match(r"(?:build/)?fovea ([a-z].*)$", line)
        commands = [command[1]] if command else re.findall(r"`fovea ([a-z][^`]*)`", line)
        for said in commands:
            words = shlex.split(said, comments=True)
            checked += 1
            verbs = [word for word in words if not word.startswith("-")]
            known = help_of(verbs)
            if not known:
                problems.append(f"{page}:{number}: fovea has no '{words[0]}'")
                continue
            for word in words:
                if word.startswith("--") and word != "--help" and not re.search(re.escape(word) + r"(?![\w-])", known):
                    problems.append(f"{page}:{number}: fovea {words[0]} has no {word}")
    if str(page) == "docs/guide/translation.md":  # options that the text speaks of
        known = "".join(help_of(verbs) for verbs in (["train", "translator"], ["evaluate"], ["translate"], ["bench"]))
        for option in re.findall(r"`(--[\w-]+)[^`]*`", text(page)):
            checked += 1
            if not re.search(re.escape(option) + r"(?![\w-])", known):
                problems.append(f"{page}: no subcommand has {option}")
report(problems, checked)
