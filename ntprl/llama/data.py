"""Rows of GSM8K and of MATH: from the Hugging Face hub at a pinned revision, or from local files; or generated ones.

GSM8K has the fields question and answer, and an answer ends in a line `#### 72`. MATH has problem and
solution, and the answer is what the last \\boxed{...} of the solution holds. Anything local with these
fields will do: a .jsonl or .parquet file, or a folder with files named after the splits.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ntprl.errors import InputError, existing_path, json_object, require_choice, shown
from ntprl.llama.hub import explain, needed
from ntprl.tasks.rows import Row, uniform
from ntprl.tasks.words import WordProblems, solve

SPLITS = ("train", "test")
HELD_OUT = 0.1  # share of the rows that are for tests where the data set has no test split
KINDS = (".jsonl", ".parquet")
CALCULATOR = re.compile(r"<<[^<>\n]*>>")  # GSM8K's calculator marks, <<48/2=24>>
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which JSON can spell and nobody can write
GSM8K_MARK = "####"  # of the files, whatever mark the demonstrations use


@dataclass(frozen=True)
class Source:
    revision: str  # commit of the data set's repository on the hub
    parts: tuple[str, ...]  # its configurations, read one after the other


MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
SOURCES = {
    "openai/gsm8k": Source("740312add88f781978c0658806c59bc2815b9866", ("main",)),
    "EleutherAI/hendrycks_math": Source("21a5633873b6a120296cce3e2df9d5550074f4a3", MATH_SUBJECTS),
}
GENERATED = "generated"  # problems of tasks.words, which need no network and no file
N_GENERATED = {"train": 7473, "test": 1319}  # as many as GSM8K has

Record = tuple[str, dict]  # where it stands, its fields


def load_rows(dataset: str, split: str = "train", revision: str | None = None, remove_marks: bool = True) -> list[Row]:
    """The problems of one split, in the order of the data set.

    dataset       a name in SOURCES, generated, or the path of a .jsonl or .parquet file or of a folder with such files
    split         train or test; without a test split, a tenth of the rows, chosen by a hash of the
                  question, is the test split and the rest the train split
    revision      of a data set on the hub; by default the one pinned in SOURCES
    remove_marks  leave out GSM8K's calculator marks

    Raises InputError if the data set cannot be found, reached or read, or has a row without an answer.
    """
    require_choice("split", split, SPLITS)
    if dataset == GENERATED:
        rng = np.random.default_rng(SPLITS.index(split))
        return [solve(q) for q in WordProblems().questions(N_GENERATED[split], rng, test=split == "test")]
    if dataset in SOURCES:
        rows = [to_row(fields, where, remove_marks) for where, fields in _from_hub(dataset, split, revision)]
    else:
        files, is_split = _find(dataset, split)
        rows = [to_row(fields, where, remove_marks) for file in files for where, fields in _read(file)]
        if not is_split:
            rows = [row for row in rows if held_out(row.question) == (split == "test")]
    if not rows:
        raise InputError(f"dataset = {dataset!r} has no rows for split {split}")
    return rows


def held_out(question: str) -> bool:
    """Is the row kept for tests? Independent of whether it is demonstrated by its solution."""
    return uniform(f"held out\n{question}") < HELD_OUT


# --- one row ---


def to_row(fields: dict, where: str, remove_marks: bool = True) -> Row:
    """A record of GSM8K or MATH as a Row; `where` names it in errors."""
    if {"question", "answer"} <= fields.keys():
        question, text = _text(fields, "question", where), _text(fields, "answer", where)
        solution, mark, answer = text.rpartition(GSM8K_MARK)
        if not mark:
            answer = ""
        if remove_marks:
            solution = CALCULATOR.sub("", solution)
        expected = f"a last line '{GSM8K_MARK} 72'"
    elif {"problem", "solution"} <= fields.keys():
        question, solution = _text(fields, "problem", where), _text(fields, "solution", where)
        answer = last_boxed(solution) or ""
        expected = "an answer in \\boxed{...}"
    else:
        columns = ", ".join(sorted(map(str, fields))) or "none"
        raise InputError(
            f"{where} has the columns {columns}: expected question and answer (GSM8K) or problem and solution (MATH)"
        )
    answer, solution, question = answer.strip(), solution.strip(), question.strip()
    if not answer or "\n" in answer:
        raise InputError(f"{where} has no final answer: expected {expected}")
    if not solution or not question:
        raise InputError(f"{where} has no {'worked solution' if question else 'question'}")
    return Row(question, solution, answer)


def _text(fields: dict, column: str, where: str) -> str:
    value = fields[column]
    if not isinstance(value, str) or SURROGATE.search(value):
        raise InputError(f"{where} has {column} = {shown(value)}: expected text")
    return value


def last_boxed(text: str) -> str | None:
    r"""What the last \boxed{...} (or \fbox{...}) holds, nested braces included; None without one.

    \boxed{\frac{1}{2}} -> \frac{1}{2}      \boxed 7$ -> 7
    """
    starts = list(re.finditer(r"\\f?box(?:ed)?(?![a-zA-Z])\s*", text))
    if not starts:
        return None
    rest = text[starts[-1].end() :]
    if not rest.startswith("{"):
        return re.split(r"[$\n]", rest, maxsplit=1)[0].strip().rstrip(".") or None
    depth = 0
    for token in re.finditer(r"\\.|[{}]", rest, re.DOTALL):  # an escaped brace opens nothing
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0 and token[0] == "}":
            return " ".join(rest[1 : token.start()].split()) or None
    return None


# --- where rows come from ---


def _from_hub(name: str, split: str, revision: str | None) -> Iterator[Record]:
    datasets = needed("datasets")
    source = SOURCES[name]
    for part in source.parts:
        try:
            table = datasets.load_dataset(name, part, split=split, revision=revision or source.revision)
        except Exception as error:  # the hub's errors share no class
            raise explain(error, "data set", name) from None
        for index, fields in enumerate(table):
            yield f"row {index} of {name}, {part}, {split}", fields


def _find(dataset: str, split: str) -> tuple[list[Path], bool]:
    """(files to read, do they hold this split alone?)"""
    path = existing_path("dataset", dataset)
    if path is not None and path.is_file() and path.suffix in KINDS:
        return [path], False
    if path is None or not path.is_dir():
        known = ", ".join((*SOURCES, GENERATED))
        raise InputError(
            f"dataset = {shown(dataset)} is not allowed: dataset must be one of {known}, "
            "or an existing folder or .jsonl or .parquet file"
        )
    inside = [path, path / "main", *sorted(child for child in path.iterdir() if child.is_dir())]
    for folders in ([inside[0]], [inside[1]], inside[2:]):  # the folder, GSM8K's main, MATH's subjects
        files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
        files = [file for file in files if file.suffix in KINDS]
        named = {name: [file for file in files if re.match(rf"{name}(?![a-z])", file.name)] for name in SPLITS}
        if named["train"] and named["test"]:
            return named[split], True
        if named["train"] or named["test"]:
            if not named["train"]:
                raise InputError(f"dataset = {str(path)!r} has a test split but no train split")
            return named["train"], False
        if len(files) == 1:
            return files, False
        if files:
            names = ", ".join(file.name for file in files[:5])
            raise InputError(f"dataset = {str(path)!r} holds {names}: name the files train and test, or give one file")
    raise InputError(f"dataset = {str(path)!r} holds no .jsonl or .parquet file")


def _read(file: Path) -> Iterator[Record]:
    # Not by datasets.load_dataset: it guesses types (2024-01-01 becomes a date) and knows no line of a broken file.
    if file.suffix == ".parquet":
        needed("pyarrow")
        try:
            records = pd.read_parquet(file).to_dict("records")
        except Exception as error:  # pyarrow's errors share no class
            raise InputError(
                f"{file} is not a parquet file that can be read ({' '.join(str(error).split())})"
            ) from None
        for index, fields in enumerate(records):
            yield f"row {index} of {file}", fields
        return
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error})") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"line {number} of {file}"
            yield where, json_object(line, where)
