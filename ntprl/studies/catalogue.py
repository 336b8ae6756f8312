"""The tables and claims of all studies, found by their folders: who adds a study edits nothing here."""

from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from ntprl import studies
from ntprl.book.recording import Recording
from ntprl.book.verdict import Claim


def modules(name: str) -> list[ModuleType]:
    """The modules of that name in the folders of all studies that have one."""
    folders = [info.name for info in iter_modules(studies.__path__) if info.ispkg]
    packages = [import_module(f"{studies.__name__}.{folder}") for folder in folders]
    return [
        import_module(f"{package.__name__}.{name}")
        for package in packages
        if name in {info.name for info in iter_modules(package.__path__)}
    ]


def _chapter(module: ModuleType) -> str:
    """Of the study that a module belongs to."""
    return import_module(module.__package__).CHAPTER


def _found(module: ModuleType) -> list[Claim]:
    return [replace(value, chapter=_chapter(module)) for value in vars(module).values() if isinstance(value, Claim)]


# in reading order
TABLES: dict[str, Recording] = {
    entry.name: entry for module in sorted(modules("tables"), key=_chapter) for entry in module.TABLES
}
CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for claim in sorted(
        (claim for module in modules("claims") for claim in _found(module)),
        key=lambda claim: (claim.id[0], len(claim.id.rstrip("abc")), claim.id),  # C2 before C10, and ours last
    )
}
