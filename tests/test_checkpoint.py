"""Checkpoints: what is saved comes back, what cannot be used is refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ntprl import checkpoint
from ntprl.errors import InputError
from ntprl.mixture import Mixture
from ntprl.pretrain import make_optimizer, next_token_loss
from ntprl.seeds import numpy_rng
from ntprl.tasks.parity import Parity
from ntprl.transformer import STYLES, Transformer

TASK = Parity(3)


@pytest.fixture
def trained(lively_model):
    """(model, optimiser) after one step."""

    def make(style: str = "gpt2"):
        model = lively_model(TASK, style)
        optimizer = make_optimizer(model, 2e-3)
        next_token_loss(model, Mixture(TASK, 0.5).draw(8, numpy_rng(0, "data"))).backward()
        optimizer.step()
        return model, optimizer

    return make


@pytest.fixture
def stored(tmp_path, trained):
    model, optimizer = trained()
    checkpoint.save(tmp_path / "folder" / "c", model, optimizer, step=7)
    return tmp_path / "folder" / "c"


def rewrite(path, spoil, renew_checksum=True):
    """Write a checkpoint anew with something changed, by a hand that knows the checksum or by one that does not."""
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    spoil(tensors, metadata)
    if renew_checksum:
        metadata["sha256"] = checkpoint._checksum(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize("style", STYLES)
def test_model_optimiser_and_facts_come_back(tmp_path, lively_model, trained, style):
    model, optimizer = trained(style)
    facts = {"step": 7, "log": [{"loss": 1 / 3, "none": None}], "seed": 2**40}
    checkpoint.save(tmp_path / "c", model, optimizer, **facts)
    other = lively_model(TASK, style, seed=1)
    other_optimizer = make_optimizer(other, 2e-3)
    assert checkpoint.restore(tmp_path / "c", other, other_optimizer) == facts
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    for parameter, restored in pairs:
        assert torch.equal(parameter, restored)
        ours, theirs = optimizer.state[parameter], other_optimizer.state[restored]
        assert ours.keys() == theirs.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("style", STYLES)
def test_load_model_rebuilds_the_model_from_the_file_alone(tmp_path, lively_model, style):
    model, tokens = lively_model(TASK, style), torch.tensor([[0, 1, 1, 3]])
    checkpoint.save(tmp_path / "c", model)
    loaded = checkpoint.load_model(tmp_path / "c")
    assert loaded.config == model.config
    assert torch.equal(loaded(tokens), model(tokens))


def test_saving_again_replaces_the_file_and_leaves_no_other(stored, lively_model):
    model = lively_model(TASK, seed=2)
    checkpoint.save(stored, model)
    assert torch.equal(checkpoint.load_model(stored).embed.weight, model.embed.weight)
    assert [path.name for path in stored.parent.iterdir()] == ["c"]


def test_a_failed_save_leaves_the_last_checkpoint_whole(stored, lively_model, monkeypatch):
    before = stored.read_bytes()

    def disk_full(tensors, path, metadata):
        path.write_bytes(before[: len(before) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", disk_full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        checkpoint.save(stored, lively_model(TASK, seed=2), step=8)
    assert stored.read_bytes() == before
    assert checkpoint.restore(stored, lively_model(TASK)) == {"step": 7}


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.01, 0])
def test_a_truncated_file_is_refused(stored, lively_model, refused, keep):
    content = stored.read_bytes()
    stored.write_bytes(content[: int(keep * len(content))])
    for use in (checkpoint.load_model, lambda path: checkpoint.restore(path, lively_model(TASK))):
        with refused(stored, "cannot be read"):
            use(stored)


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path, refused):
    path = tmp_path / "c"
    for missing in (path, tmp_path):
        with refused(missing, "does not exist"):
            checkpoint.load_model(missing)
    for content in (b"step,loss\n1,2\n", b"\x00\xff" * 50, b"{}"):
        path.write_bytes(content)
        with refused(path, "cannot be read"):
            checkpoint.load_model(path)
    for metadata in (None, {}, {"facts": "{}"}):
        save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
        with refused(path, "not written by ntprl"):
            checkpoint.load_model(path)


def test_a_file_without_one_of_the_weights_is_refused(stored, lively_model, refused):
    model = lively_model(TASK)
    rewrite(stored, lambda tensors, _: tensors.pop("model.norm.bias"))
    with refused(stored, "norm.bias"):
        checkpoint.restore(stored, model)


@pytest.mark.parametrize(("field", "value"), [("n_layer", 3), ("width", 32), ("style", "mistral"), ("max_length", 9)])
def test_a_checkpoint_of_another_model_is_refused(stored, lively_model, refused, field, value):
    config = replace(lively_model(TASK).config, **{field: value})
    model = Transformer(config)
    before = model.embed.weight.detach().clone()
    with refused(stored, f"{field} = ", f"the model has {field} = {value!r}"):
        checkpoint.restore(stored, model)
    assert torch.equal(model.embed.weight, before)


def test_training_does_not_go_on_without_optimiser_state(tmp_path, trained, refused):
    model, optimizer = trained()
    checkpoint.save(tmp_path / "c", model)
    with refused(tmp_path / "c", "optimiser"):
        checkpoint.restore(tmp_path / "c", model, optimizer)


def test_shared_and_strided_weights_are_saved_as_they_are(tmp_path, lively_model):
    """The tied head is stored once; a transposed weight is not stored transposed."""
    model = lively_model(TASK)
    weight = model.blocks[0].attention.out.weight
    weight.data = weight.data.T.clone().T
    checkpoint.save(tmp_path / "c", model)
    tensors = load_file(tmp_path / "c")
    assert len(tensors) == len(list(model.parameters()))
    assert np.array_equal(tensors["model.blocks.0.attention.out.weight"], weight.detach())


def set_fact(**values):
    return lambda tensors, metadata: metadata.update(facts=json.dumps(json.loads(metadata["facts"]) | values))


def set_tensor(name, change):
    return lambda tensors, metadata: tensors.update({name: change(tensors[name])})


def set_part(part, text):
    return lambda tensors, metadata: metadata.update({part: text})


WEIGHT, MOMENT = "model.blocks.0.attention.out.weight", "optimizer.0.exp_avg"
ALTERED = {
    "one bit": set_tensor(WEIGHT, lambda tensor: (tensor.view(torch.int32) ^ 1).view(torch.float32)),
    "one number": set_tensor(MOMENT, lambda tensor: tensor + 1e-3),
    "step": set_fact(step=8),
    "log": set_fact(log=[{"step": 1}]),
    "no optimiser": lambda tensors, _: [tensors.pop(name) for name in list(tensors) if name.startswith("optimizer")],
}
CRAFTED = {
    "one number for all": set_tensor(WEIGHT, lambda tensor: torch.ones(1, 1)),
    "other shape": set_tensor("model.norm.bias", lambda tensor: torch.zeros(3)),
    "whole numbers": set_tensor(WEIGHT, lambda tensor: tensor.int()),
    "nan": set_tensor(WEIGHT, lambda tensor: tensor * float("nan")),
    "moment of one number": set_tensor(MOMENT, lambda tensor: torch.ones(1)),
    "moment nan": set_tensor(MOMENT, lambda tensor: tensor + float("inf")),
    "half of the moments": lambda tensors, _: [tensors.pop(name) for name in list(tensors) if "exp_avg_sq" in name][:9],
    "some of the moments": lambda tensors, _: [tensors.pop(name) for name in list(tensors) if "optimizer.1." in name],
    "moment of nothing": lambda tensors, _: tensors.update({"optimizer.x.y": torch.zeros(1)}),
    "moment without a name": lambda tensors, _: tensors.update({"optimizer.0": torch.zeros(1)}),
    "moment of a weight too many": lambda tensors, _: tensors.update({"optimizer.999.exp_avg": torch.zeros(1)}),
    "weight too many": lambda tensors, _: tensors.update({"model.more": torch.zeros(1)}),
    "step of text": set_fact(step="x"),
    "step below 0": set_fact(step=-5),
    "log of numbers": set_fact(log=[1, 2]),
    "log of text": set_fact(log="rows"),
    **{f"{part} {text}": set_part(part, text) for part in ("facts", "model") for text in ("", "[]", "null", "1", "{")},
    "another shape": set_part("model", '{"width": 16}'),
    "unknown shape": set_part("model", '{"depth": 16}'),
}


@pytest.mark.parametrize("name", [*ALTERED, *CRAFTED])
def test_a_spoiled_checkpoint_is_refused_and_changes_nothing(stored, trained, lively_model, refused, name):
    rewrite(stored, (ALTERED | CRAFTED)[name], renew_checksum=name in CRAFTED)
    _, optimizer = trained()
    model = lively_model(TASK, seed=1)
    optimizer = make_optimizer(model, 2e-3)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with refused(stored):
        checkpoint.restore(stored, model, optimizer)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert not optimizer.state
    if "moment" not in name:
        with refused(stored):
            checkpoint.load_model(stored)


def test_a_checkpoint_under_the_name_of_another_run_is_refused(stored, trained, refused):
    model, optimizer = trained()
    checkpoint.restore(stored, model, optimizer, {})
    other = stored.rename(stored.with_name("other"))
    with refused(other, "belongs to another run", "'c'"):
        checkpoint.restore(other, model, optimizer, {})
    checkpoint.load_model(other)  # a reader of the weights may call it what he likes


def test_a_folder_where_nothing_can_be_written(tmp_path, lively_model, refused):
    (tmp_path / "file").touch()
    with refused(tmp_path / "file" / "c", "cannot be written"):
        checkpoint.save(tmp_path / "file" / "c", lively_model(TASK))
