"""Installed headers include only the standard library and one another, and document the names that they declare."""
import re

from repo import includes, installed_headers, report, text

STANDARD = re.compile(r"^([a-z_0-9]+|(std[a-z]+|string|math|float|limits|errno|inttypes)\.h)$")
# A declaration at the left margin (namespaces are not indented) of a type, a macro with arguments or a function.
DECLARATION = re.compile(r"^(?:(?:class|struct|enum|enum class|union|concept)\s+(\w+)(?!\w*;)|#\s*define\s+(\w+)\("
                         r"|[A-Za-z_\[][\w:<>,&*\[\]\s\"]*?\b(\w+)\()")
SELF_EVIDENT = re.compile(r"\boperator\b|^extern \"C\"|^static_assert|^using\b|^template <>|^\w+\(|~|^namespace\b|^return\b")


def undocumented(path):
    """Declarations without a comment above, beside, or above the group (no blank line between) that they stand in.

    A further overload of a documented name is documented; names that end in an underscore are internal.
    """
    documented, internal, known = False, False, set()
    for number, line in enumerate(text(path).splitlines(), 1):
        if re.match(r"(}\s*//\s*)?namespace\s+(\w+::)*(detail|internal)\b", line):
            internal = not line.startswith("}")
        if not line.strip():
            documented = False
        elif line.lstrip().startswith(("//", "/*", "*")):
            documented = documented or not line.startswith("// NOLINT")
        elif not internal and not SELF_EVIDENT.search(line):
            line = re.sub(r"^template\s*<.*?>\s+(?=\w)", "", line)
            if match := DECLARATION.match(line):
                name = next(group for group in match.groups() if group)
                if documented or "//" in line:
                    known.add(name)
                elif name not in known and not name.endswith("_"):
                    yield number, line.strip()


headers = installed_headers()
names = {str(p) for p in headers} | {"generated/ops.h"}
problems = []
for path in headers:
    for number, opening, name in includes(path):
        if opening == "<" and not STANDARD.match(name):
            problems.append(f"{path}:{number}: a dependency's header in an installed header: <{name}>")
        if opening == '"' and name not in names and str(path.parent / name) not in names:
            problems.append(f"{path}:{number}: includes {name}, which is not installed")
    problems += [f"{path}:{number}: undocumented: {line}" for number, line in undocumented(path)]
report(problems, len(headers))
