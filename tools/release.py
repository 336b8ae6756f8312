"""Write the version and the address of the project wherever they stand, and check that no old one is left.

    python tools/release.py --version 0.2.0 --repository https://github.com/OWNER/NAME
    python tools/release.py --check [--version 0.2.0] [--repository ...]    change nothing; are they these, everywhere?

What is left out stays as it was. The published book is at https://OWNER.github.io/NAME/, or where --site says. Tables
in data/ and benchmarks/ keep the version that they were recorded with. Needs Python and git alone.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What tells of the past, or of other packages.
NOT_OURS = re.compile(
    r"data/.*\.(csv|json)|benchmarks/.*\.(csv|json)|requirements\.lock|CHANGELOG\.md|tests/.*|tools/release\.py"
)
# The lines that hold the version alone; everywhere else it is written as a tag, v0.1.0.
VERSION_LINES = {
    "pyproject.toml": r'(?m)^version = "(.*)"$',
    "ntprl/__init__.py": r'(?m)^__version__ = "(.*)"$',
    "CITATION.cff": r"(?m)^version: (.*)$",
}
SITE_LINE = r"(?m)^  baseurl: (\S+)$"  # in _config.yml
PREFIX_LINE = r"(?m)^    notfound_urls_prefix: (\S+)$"


class Refused(Exception):
    """One line that says what is wrong."""


@dataclass(frozen=True)
class Release:
    """What a release is called and where it is found."""

    version: str  # 0.2.0
    repository: str  # https://github.com/OWNER/NAME
    site: str  # https://OWNER.github.io/NAME/

    def __post_init__(self):
        if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", self.version):
            raise Refused(f"version = {self.version!r} is not allowed: it must be like 0.2.0 or 0.2.0rc1")
        if not re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]*[\w-]", self.repository) or self.slug.endswith(".git"):
            raise Refused(
                f"repository = {self.repository!r} is not allowed: it must be like https://github.com/OWNER/NAME"
            )
        if not re.fullmatch(r"https://[\w.-]+/([\w.-]+/)*", self.site):
            raise Refused(f"site = {self.site!r} is not allowed: it must be like https://example.org/book/")

    @property
    def slug(self) -> str:
        """OWNER/NAME."""
        return self.repository.removeprefix("https://github.com/")

    @property
    def prefix(self) -> str:
        """The path of the site on its host."""
        return re.sub(r"https://[^/]+", "", self.site)


def pages_of(repository: str) -> str:
    """Where GitHub publishes the pages of a repository."""
    owner, _, name = repository.removeprefix("https://github.com/").partition("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def read(root: Path) -> dict[str, str]:
    """Path -> text of all files under version control that may name the project's address or version."""
    try:
        listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        raise Refused(f"{root} is no git checkout: git lists the files in which the address stands") from None
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        if not NOT_OURS.fullmatch(name) and (root / name).is_file():
            try:
                texts[name] = (root / name).read_bytes().decode()
            except UnicodeDecodeError:  # a picture
                continue
    return texts


def is_tag(root: Path, name: str) -> bool:
    """Whether the checkout has a tag of that name."""
    listed = subprocess.run(["git", "-C", str(root), "tag", "--list", name], capture_output=True, text=True)
    return listed.stdout.strip() == name


def current(texts: dict[str, str]) -> Release:
    """What the files say now, each fact where it is first written."""
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    return Release(project["version"], project["urls"]["Repository"], re.search(SITE_LINE, texts["_config.yml"])[1])


def address(slug: str) -> re.Pattern:
    """OWNER/NAME after github.com/, or after the /github/ of Colab and Binder, and nothing longer."""
    return re.compile(rf"(?:(?<=github\.com/)|(?<=/github/)|(?<=/gh/)){re.escape(slug)}(?![\w-]|\.\w)")


def tag(version: str) -> re.Pattern:
    return re.compile(rf"(?<![\w.])v{re.escape(version)}(?![\w.-])")


def rewritten(texts: dict[str, str], old: Release, new: Release) -> dict[str, str]:
    """The texts with the new facts in place of the old ones."""
    changed = {}
    for name, text in texts.items():
        text = text.replace(old.site, new.site)
        text = address(old.slug).sub(lambda _: new.slug, text)
        text = tag(old.version).sub(lambda _: f"v{new.version}", text)
        if name in VERSION_LINES:
            text = re.sub(VERSION_LINES[name], lambda m: m[0].replace(m[1], new.version), text)
        if name == "_config.yml":
            text = re.sub(PREFIX_LINE, lambda m: m[0].replace(m[1], new.prefix), text)
        changed[name] = text
    return changed


def lines_with(texts: dict[str, str], pattern: re.Pattern) -> list[str]:
    found = []
    for name, text in texts.items():
        for match in pattern.finditer(text):
            number = text.count("\n", 0, match.start()) + 1
            found.append(f"{name}:{number}: {match[0]}")
    return found


def left_over(texts: dict[str, str], old: Release, new: Release) -> list[str]:
    """Places that still say what is no longer true."""
    found = []
    if old.slug != new.slug:
        found += lines_with(texts, re.compile(rf"(?<![\w-]){re.escape(old.slug)}(?![\w-])"))
    if old.site != new.site:
        found += lines_with(texts, re.compile(re.escape(old.site.removeprefix("https://").rstrip("/"))))
    if old.version != new.version:
        found += lines_with(texts, tag(old.version))
    return found


def problems(texts: dict[str, str], release: Release, names: set[str]) -> list[str]:
    """Places where the texts say another version or address than that of the release.

    A repository of somebody else that bears one of the names is taken for a forgotten address.
    """
    found = []
    for name, pattern in VERSION_LINES.items():
        said = re.findall(pattern, texts[name])
        if said != [release.version]:
            found.append(f"{name}: version {', '.join(said) or 'missing'}, not {release.version}")
    expected = {
        r"(?m)^  url: (\S+)$": release.repository,
        r"(?m)^  branch: (\S+)$": f"v{release.version}",
        SITE_LINE: release.site,
        PREFIX_LINE: release.prefix,
        r"(?m)^    ogp_site_url: (\S+)$": release.site,
        r"(?m)^    ogp_image: (\S+)$": f"{release.site}_static/headline.png",
    }
    for pattern, value in expected.items():
        said = re.findall(pattern, texts["_config.yml"])
        if said != [value]:
            found.append(f"_config.yml: {', '.join(said) or 'nothing'} where {value} is expected")
    for name in map(re.escape, sorted(names)):
        for match in lines_with(texts, re.compile(rf"github\.com/[\w-]+/{name}(?![\w-]|\.\w)")):
            if not match.endswith(release.slug):
                found.append(f"{match}, not {release.slug}")
    for match in lines_with(texts, re.compile(r"git\+https://[^\s\"'\\)`]+")):
        asked = match.rpartition(": ")[2]
        if "{" not in asked and asked != f"git+{release.repository}@v{release.version}":
            found.append(f"{match}, not {release.repository} at v{release.version}")
    return found


def agreed(texts: dict[str, str], new: Release, write: bool = True) -> dict[str, str]:
    """The texts as they say the release everywhere, rewritten or, without `write`, as they are; else raises Refused."""
    old = current(texts)
    changed = rewritten(texts, old, new) if write else texts
    names = {each.slug.partition("/")[2] for each in (old, new)}
    wrong = left_over(changed, old, new) + problems(changed, new, names)
    if wrong:
        raise Refused("\n".join([*wrong, f"{len(wrong)} places do not say {new.repository} at v{new.version}"]))
    return changed


def main(arguments: list[str] | None = None, root: Path = ROOT) -> None:
    """Rewrite or check; raises Refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", help="such as 0.2.0")
    parser.add_argument("--repository", help="such as https://github.com/OWNER/NAME")
    parser.add_argument("--site", help="where the book is published (default: GitHub's pages of the repository)")
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args(arguments)
    texts = read(root)
    old = current(texts)
    repository = (given.repository or old.repository).removesuffix("/").removesuffix(".git")
    site = given.site or (old.site if repository == old.repository else pages_of(repository))
    new = Release((given.version or old.version).removeprefix("v"), repository, f"{site.rstrip('/')}/")
    if not given.check and new.version != old.version and is_tag(root, f"v{new.version}"):
        raise Refused(f"version = {new.version!r} is not allowed: the tag v{new.version} exists, and tags do not move")
    changed = agreed(texts, new, write=not given.check)
    written = [name for name in texts if changed[name] != texts[name]]
    for name in written:
        (root / name).write_bytes(changed[name].encode())
    done = "everywhere already" if not written else f"written to {len(written)} files"
    print(f"{new.repository} at v{new.version}, published at {new.site}: {done}, no other left")


if __name__ == "__main__":
    try:
        main()
    except Refused as refusal:
        sys.exit(str(refusal))
