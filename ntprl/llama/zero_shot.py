"""What a published model answers to real questions, before it is trained on anything here."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ntprl.errors import InputError, require_integer
from ntprl.llama.data import SOURCES, held_out, load_rows
from ntprl.llama.evaluation import generate, judge, prompt_ids
from ntprl.llama.published import SMOLLM2
from ntprl.llama.weights import byte_tokenizer, load_tokenizer, load_weights, tiny_model
from ntprl.measure import share
from ntprl.tasks.rows import MARK, Row

PLACE = "NTPRL_GSM8K"  # names a local copy of GSM8K's train.jsonl, or its folder
# What stands behind a question that is asked in this way. The second tells the model what only fine-tuning would show.
ASKED = {
    "the question alone": "",
    "told the format": "\nSolve it step by step. Write the answer as a number on a last line of its own, after {mark}.",
}
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def held_out_rows(dataset: str) -> list[Row]:
    """The tenth of GSM8K's train split that is kept for tests by a hash of the question, in the order of the file.

    The same rows from the hub and from the copy that NTPRL_GSM8K names. Another data set has its own test split.
    """
    if dataset not in SOURCES or not (place := os.environ.get(PLACE)):
        return [row for row in load_rows(dataset, "train") if held_out(row.question)]
    file = Path(place) / "train.jsonl" if Path(place).is_dir() else Path(place)
    if not file.is_file():
        raise InputError(f"{PLACE} = {place!r} is no train.jsonl and no folder with one")
    return load_rows(str(file), "test")


def ends_in(text: str, truth: str) -> bool:
    """Is the last number of a text the true one? More lenient than the reward, which reads marked answers alone."""
    found = [each.replace(",", "") for each in (*NUMBER.findall(text)[-1:], truth)]
    try:
        return len(found) == 2 and float(found[0]) == float(found[1])
    except ValueError:
        return False


@dataclass(frozen=True)
class ZeroShot:
    """Greedy answers of at most `completion_length` tokens to the first n held-out rows, asked in two ways."""

    model: str = SMOLLM2  # as in LlamaConfig
    dataset: str = "openai/gsm8k"  # or generated
    n: int = 100  # questions
    completion_length: int = 256  # tokens after which an answer is cut
    batch: int = 25  # questions answered at a time; padding may change the last digits of a float
    mark: str = MARK  # announces the answer
    dry_run: bool = False  # a tiny random model and four questions

    kind: ClassVar[str] = "ZeroShot"
    seed: ClassVar[int] = 0  # nothing is drawn

    def __post_init__(self) -> None:
        for name in ("n", "completion_length", "batch"):
            require_integer(name, getattr(self, name), low=1)

    @property
    def start(self) -> None:
        """It starts from published weights."""
        return None

    def run(self, device: str = "cpu", folder: Path | None = None) -> pd.DataFrame:
        """A row for each way of asking: `asked`, the measures of `judge` for greedy answers, and

        last_number   share of answers whose last number is the true one, whatever they mark
        n_eval        answers judged
        questions     first twelve digits of the SHA-256 of the questions and true answers: were they the same?
        """
        rows = held_out_rows(self.dataset)[: 4 if self.dry_run else self.n]
        model, tokenizer = self.loaded()
        model.to(device)
        read = hashlib.sha256("\n".join(f"{row.question}\n{row.answer}" for row in rows).encode()).hexdigest()[:12]
        table = []
        for asked, more in ASKED.items():
            prompts = prompt_ids(tokenizer, [row.question + more.format(mark=self.mark) for row in rows])
            written = generate(model, tokenizer, prompts, self.completion_length, batch=self.batch)
            texts = tokenizer.batch_decode([ids for ids, _ in written], skip_special_tokens=True)
            found = [
                (text, row.answer, len(ids), end) for text, row, (ids, end) in zip(texts, rows, written, strict=True)
            ]
            last = share([ends_in(text, row.answer) for text, row in zip(texts, rows, strict=True)])
            measures = judge(found, self.mark, "greedy") | {"last_number": last}
            table.append({"asked": asked} | measures | {"n_eval": len(rows), "questions": read})
        return pd.DataFrame(table)

    def loaded(self) -> tuple[Any, Any]:
        """(model, tokenizer)."""
        if self.dry_run:
            tokenizer = byte_tokenizer(chat=True)
            return tiny_model(tokenizer), tokenizer
        return load_weights(self.model), load_tokenizer(self.model)
