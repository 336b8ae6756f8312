"""Packaged weights: found, converted once, checked at every call; and a Llama cut down to the words of a task."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ntprl.book.run import Reinforcement, Run, change
from ntprl.errors import InputError
from ntprl.llama import published
from ntprl.llama.adapter import PublishedLlama, PublishedShape
from ntprl.llama.models import PublishedModel
from ntprl.llama.weights import load_weights, local_folder, tiny_model
from ntprl.measure import measure
from ntprl.sampling import greedy
from ntprl.tasks.coin import VOCABULARY, CoinProblems
from ntprl.tasks.words import WordProblems

TASK = CoinProblems(people=3)
SHAPE = PublishedShape("", TASK.vocab_size, TASK.prompt_length + TASK.long_length)


# --- the package and its folder ---


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NTPRL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "smollm2-135m-instruct"


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package of that name with some file in it, which must never be imported."""
    folder = tmp_path / "site" / published.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / published.FILE).write_bytes(b"weights")
    monkeypatch.setattr(published, "SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
    return folder


def written(source: Path, folder: Path) -> None:
    """In place of a conversion: some weights and their checksum."""
    (folder / "model.safetensors").write_bytes(source.read_bytes())
    facts = {"sha256": {"model.safetensors": published.checksum(folder / "model.safetensors")}}
    (folder / published.MANIFEST).write_text(json.dumps(facts))


def test_weights_are_converted_once_and_their_package_is_never_imported(cache, package, monkeypatch):
    calls = []
    monkeypatch.setattr(published, "_convert", lambda *args: (calls.append(1), written(*args)))
    assert published.smollm2_folder() == cache == local_folder("smollm2")
    (package / published.FILE).unlink()  # not needed any more
    assert published.smollm2_folder() == cache
    assert calls == [1]
    assert published.PACKAGE not in sys.modules
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_a_missing_package_is_one_line_with_the_command(cache, refused, monkeypatch):
    monkeypatch.setattr(published, "find_spec", lambda name: None)
    with refused("model = 'smollm2'", published.INSTALL):
        published.smollm2_folder()
    assert not cache.exists()


def test_a_missing_reader_is_one_line_too(cache, package, refused, monkeypatch):
    found = published.find_spec
    monkeypatch.setattr(published, "find_spec", lambda name: None if name == "gguf" else found(name))
    with refused("needs the package gguf", published.INSTALL):
        published.smollm2_folder()
    assert not cache.exists()


def test_another_file_or_none_in_the_package_is_refused(cache, package, refused):
    (package / published.FILE).write_bytes(b"weight")
    with refused(published.FILE, "damaged"):
        published.smollm2_folder()
    (package / published.FILE).unlink()
    with refused(f"holds no {published.FILE}"):
        published.smollm2_folder()


def test_a_conversion_that_fails_leaves_nothing(cache, package, monkeypatch):
    def cut_off(source, folder):
        (folder / "model.safetensors").write_bytes(b"we")
        raise InputError("it stopped")

    monkeypatch.setattr(published, "_convert", cut_off)
    with pytest.raises(InputError, match="it stopped"):
        published.smollm2_folder()
    assert list(cache.parent.iterdir()) == []


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"weigh"), "not the file that was written"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"WEIGHTS"), "not the file that was written"),
        (lambda folder: (folder / "model.safetensors").unlink(), "is missing"),
        (lambda folder: (folder / published.MANIFEST).unlink(), "no readable"),
        (lambda folder: (folder / published.MANIFEST).write_text("[]"), "no readable"),
    ],
)
def test_a_folder_that_was_cut_swapped_or_emptied_is_refused(cache, package, monkeypatch, refused, spoil, words):
    monkeypatch.setattr(published, "_convert", written)
    spoil(published.smollm2_folder())
    with refused(str(cache), words, "delete"):
        published.smollm2_folder()


def test_a_folder_that_cannot_be_written_is_one_line(package, tmp_path, monkeypatch, refused):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NTPRL_CACHE", str(tmp_path / "file" / "cache"))
    with refused("cannot be written", "NTPRL_CACHE"):
        published.smollm2_folder()


# --- a published Llama ---


def word_tokenizer(pieces: list[str]):
    """Every piece one token, longest first; <end> ends a text."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    inner = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(["<end>", *pieces])}, unk_token="<end>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|[^\w\s]"), behavior="isolated")
    inner.decoder = decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", unk_token="<end>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tiny Llama whose tokenizer has the words of the task, in another order, among others; heads share keys."""
    path = tmp_path_factory.mktemp("published")
    words = [" other", *reversed(VOCABULARY[1:]), " more"]
    tokenizer = word_tokenizer(words)
    tiny_model(tokenizer, seed=1).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def llama(folder) -> PublishedLlama:
    return PublishedLlama(PublishedShape(str(folder), SHAPE.vocab_size, SHAPE.max_length), TASK.vocabulary)


def test_its_logits_are_those_of_the_published_model_at_the_task_s_words(folder, llama):
    from transformers import AutoTokenizer

    tokenizer, whole = AutoTokenizer.from_pretrained(folder), load_weights(str(folder))
    prompts = TASK.prompts(4, np.random.default_rng(0))
    ids = torch.tensor([tokenizer.encode(TASK.text(prompt)) for prompt in prompts])
    chosen = [tokenizer.eos_token_id, *(tokenizer.encode(piece)[0] for piece in TASK.vocabulary[1:])]
    with torch.no_grad():
        expected = whole(ids).logits[..., chosen]
        torch.testing.assert_close(llama(torch.as_tensor(prompts)), expected)


def test_it_decodes_with_a_cache_as_it_reads(llama):
    prompts = TASK.prompts(5, np.random.default_rng(1))
    answers, row = greedy(llama, prompts, TASK.eos, 6), torch.as_tensor(prompts)
    for t in range(answers.shape[1]):
        with torch.no_grad():
            following = llama(row, n_out=1)[:, 0].argmax(dim=-1)
        alive = answers[:, t] >= 0
        assert (following.numpy()[alive] == answers[alive, t]).all()
        row = torch.cat((row, following[:, None]), dim=1)
    assert measure(llama, TASK, 8, seed=0, step=0)["n_eval"] == 8


def test_a_word_of_several_tokens_or_a_wrong_count_is_refused(folder, refused):
    with refused("' unheard of'", "not one token"):
        PublishedLlama(PublishedShape(str(folder), 2, 10), ["<eos>", " unheard of"])
    with refused("vocab_size = 3", "must be 2"):
        PublishedLlama(PublishedShape(str(folder), 3, 10), ["<eos>", " it"])
    with refused("max_length = 5000", "at most 4096"):
        PublishedLlama(PublishedShape(str(folder), 2, 5000), ["<eos>", " it"])


def test_both_phases_run_from_published_weights(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("ntprl.llama.weights.smollm2_folder", lambda: folder)
    run = Run(TASK, model=PublishedModel(), rl=Reinforcement(), kind="CoinPublished")
    run = change(run, steps=2, batch=4, n_eval=4, n_points=1, rounds=1, rollouts=8, group=4, n_eval_rl=4)
    table = run.run(folder=tmp_path)
    assert table["phase"].tolist() == ["pretraining"] * 2 + ["rl"] * 2
    assert run.run(folder=tmp_path).drop(columns="seconds").equals(table.drop(columns="seconds"))


@pytest.mark.parametrize("field, value", [("n_layer", 3), ("width", 64), ("style", "gpt2"), ("source", "gpt2")])
def test_its_sizes_are_its_own(refused, field, value):
    with refused(f"{field} = {value!r}"):
        PublishedModel(**{field: value})


def test_a_task_without_words_for_it_is_refused(refused):
    with refused("task = WordProblems", "CoinProblems"):
        Run(WordProblems(), model=PublishedModel())
