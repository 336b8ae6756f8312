"""Write chapters/pages/api.md: the public names of the package with their signatures and docstrings.

    python tools/api.py            after a docstring or a signature has changed; a test says when that is

Chapters link to a module or a name by its own: [GRPO](ntprl.weightings.grpo).
"""

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "chapters" / "pages" / "api.md"
# What others may build on, from the ground up.
GROUPS = {
    "Tasks": ["tasks/task", "tasks/parity", "tasks/multiplication", "tasks/words", "tasks/coin", "tasks/rows"],
    "Answers, theory, seeds, errors": ["tasks/answers", "theory", "seeds", "errors"],
    "Training and measuring": [
        *("mixture", "transformer", "sampling", "pretrain", "weightings", "policy_gradient", "posttrain", "measure"),
        "checkpoint",
    ],
    "The linear chain": [
        "linear_chain/chain",
        "linear_chain/training",
        "linear_chain/answers",
        "linear_chain/variants",
    ],
    "Runs and recorded tables": ["book/run", "book/recording", "book/sweep", "book/ensemble", "book/store", "records"],
    "Llama": ["llama/config", "llama/run", "llama/adapter", "llama/models", "llama/evaluation", "llama/data"],
}
HEAD = """# Public names

Every module that others may build on, with its public functions and classes. The text is that of the docstrings.
[How the code is laid out](layout.md) says what the modules are for and which may use which.
"""
SPECIAL = re.compile(r"`[^`]*`|[\\*_\[\]<>$#|~{}]")


def as_text(docstring: str) -> str:
    """The first paragraph as prose, the rest as it stands: docstrings align formulas and lists by spaces."""
    first, _, rest = docstring.partition("\n\n")
    prose = SPECIAL.sub(lambda match: match[0] if match[0].startswith("`") else "\\" + match[0], first)
    return prose + (f"\n\n```text\n{rest.rstrip()}\n```" if rest.strip() else "")


def signature(node: ast.FunctionDef) -> str:
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    return "\n    ".join(textwrap.wrap(f"{node.name}({arguments}){result}", 96, break_long_words=False))


def fields_of(node: ast.ClassDef, lines: list[str]) -> list[str]:
    """Annotated fields as they stand in the source, with the comments that explain them."""
    found = [
        each for each in node.body if isinstance(each, ast.AnnAssign) and not ast.unparse(each.target).startswith("_")
    ]
    return [lines[number].strip() for each in found for number in range(each.lineno - 1, each.end_lineno)]


def entry(node: ast.FunctionDef | ast.ClassDef, module: str, lines: list[str]) -> str:
    """A public name: its anchor, its heading, what it takes, what it says of itself."""
    # Anchors do not tell capitals apart, so Pack beside pack is Pack-class.
    twins = re.findall(rf"(?im)^(?:def|class) {node.name}\b", "\n".join(lines))
    anchor = f"{module}.{node.name}" + ("-class" if len(twins) > 1 and isinstance(node, ast.ClassDef) else "")
    parts = [f"({anchor})=\n### {node.name}"]
    if isinstance(node, ast.FunctionDef):
        shown = [signature(node)]
    else:
        bases = ", ".join(map(ast.unparse, node.bases))
        shown = [
            f"class {node.name}" + (f"({bases})" if bases else ""),
            *(f"    {line}" for line in fields_of(node, lines)),
        ]
    parts.append("```python\n" + "\n".join(shown) + "\n```")
    if docstring := ast.get_docstring(node):
        parts.append(as_text(docstring))
    if isinstance(node, ast.ClassDef):
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and not each.name.startswith("_") and ast.get_docstring(each):
                parts.append(f"`{each.name}`\n: {textwrap.indent(as_text(ast.get_docstring(each)), '  ').lstrip()}")
    return "\n\n".join(parts)


def page() -> str:
    """The whole page, made from the sources, which are not imported."""
    parts = [HEAD]
    for title, names in GROUPS.items():
        for name in names:
            module, source = (
                f"ntprl.{name.replace('/', '.')}",
                (ROOT / "ntprl" / f"{name}.py").read_text(encoding="utf-8"),
            )
            tree, lines = ast.parse(source), source.splitlines()
            parts.append(f"({module})=\n## {module}\n\n*{title}.* {as_text(ast.get_docstring(tree))}")
            parts += [
                entry(node, module, lines)
                for node in tree.body
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
