"""Pre-training: the loss by hand, the rate, resuming bit for bit, and a model that learns what it can."""

from itertools import product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from ntprl import checkpoint
from ntprl.mixture import Mixture
from ntprl.pretrain import ENOUGH, PretrainConfig, learning_rate, make_optimizer, next_token_loss, pretrain
from ntprl.sampling import greedy
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD, Demonstrations
from ntprl.transformer import STYLES, Transformer, TransformerConfig

TASK = Parity(5)
MIXTURE = Mixture(TASK, 0.4)


def joint(parts: tuple[Demonstrations, ...]) -> Demonstrations:
    """All demonstrations in one batch, short answers padded."""
    width = max(part.answers.shape[1] for part in parts)
    padded = [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=PAD) for _, a in parts]
    return Demonstrations(np.concatenate([prompts for prompts, _ in parts]), np.concatenate(padded))


@pytest.mark.parametrize("style", STYLES)
@torch.no_grad()
def test_loss_is_the_mean_over_answer_tokens_and_over_nothing_else(lively_model, style):
    """Token by token, each with its own forward pass."""
    model, parts = lively_model(TASK, style), MIXTURE.draw(12, numpy_rng(0, "data"))
    losses = []
    for prompts, answers in parts:
        assert len(prompts) > 0
        for prompt, answer in zip(prompts.tolist(), answers.tolist(), strict=True):
            for i, token in enumerate(answer):
                logits = model(torch.tensor([[*prompt, *answer[:i]]]))[0, -1]
                losses.append(-logits.log_softmax(0)[token].item())
    assert next_token_loss(model, parts).item() == pytest.approx(np.mean(losses), rel=1e-5)


def padded_loss(model: Transformer, parts: tuple[Demonstrations, ...]) -> torch.Tensor:
    """The way of the libraries: one batch, labels of -100 on prompts and padding, shifted by one."""
    prompts, answers = map(torch.as_tensor, joint(parts))
    tokens = torch.cat((prompts, answers.where(answers != PAD, 0)), dim=1)
    labels = torch.cat((torch.full_like(prompts, -100), answers.where(answers != PAD, -100)), dim=1)
    logits = model(tokens[:, :-1])  # the last token predicts nothing
    return F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


@pytest.mark.parametrize("style", STYLES)
def test_loss_equals_that_of_one_padded_batch_with_masked_labels(lively_model, style):
    model, parts = lively_model(TASK, style), MIXTURE.draw(12, numpy_rng(0, "data"))
    torch.testing.assert_close(next_token_loss(model, parts), padded_loss(model, parts))


@pytest.mark.parametrize("style", STYLES)
def test_parts_apart_and_together_give_one_loss_and_one_gradient(lively_model, style):
    model, parts = lively_model(TASK, style), MIXTURE.draw(12, numpy_rng(0, "data"))
    apart, together = (
        [loss, *torch.autograd.grad(loss, list(model.parameters()))]
        for loss in (next_token_loss(model, parts), next_token_loss(model, (joint(parts),)))
    )
    torch.testing.assert_close(apart, together, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("p_cot", [0, 1])
def test_an_empty_part_adds_nothing(lively_model, p_cot):
    model, parts = lively_model(TASK), Mixture(TASK, p_cot).draw(8, numpy_rng(0, "data"))
    full = [part for part in parts if len(part.prompts)]
    assert len(full) == 1
    assert torch.equal(next_token_loss(model, parts), next_token_loss(model, tuple(full)))


def test_no_demonstrations_cost_nothing(lively_model):
    assert next_token_loss(lively_model(TASK), MIXTURE.draw(0, numpy_rng(0, "data"))) == 0


def test_learning_rate_is_a_trapezoid():
    config = PretrainConfig(steps=100, lr=0.1, warmup=9, cooldown=0.2)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert rates[9:81] == pytest.approx([0.1] * 72)
    assert rates[80:] == pytest.approx([0.1 * (100 - step) / 20 for step in range(80, 100)])
    level = PretrainConfig(steps=7, lr=0.1, warmup=0, cooldown=0)
    assert [learning_rate(level, step) for step in range(7)] == [0.1] * 7


def test_learning_rate_is_positive_when_there_is_less_time_than_warmup():
    config = PretrainConfig(steps=3, lr=0.1, warmup=50, cooldown=0.5)
    assert all(0 < learning_rate(config, step) <= 0.1 for step in range(3))


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", -1), ("batch", 0), ("lr", "fast"), ("cooldown", 1.5), ("warmup", -1), ("weight_decay", -1)],
)
def test_bad_configurations_are_refused(refused, field, value):
    with refused(f"{field} = {value!r}", "must be"):
        PretrainConfig(**{field: value})


def fresh(style: str = "gpt2", task: Parity = TASK, width: int = 16) -> Transformer:
    sizes = TransformerConfig(task.vocab_size, task.prompt_length + task.long_length, style, width=width, n_head=2)
    return Transformer(sizes, torch_rng(0, "init"))


def weights(model: Transformer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("style", STYLES)
def test_twenty_steps_leave_the_weights_of_a_plain_padded_loop(style):
    """torch's AdamW one tensor at a time, its own schedule and clipping; in float64, where rounding makes no steps."""
    config = PretrainConfig(steps=20, batch=16, lr=5e-3, warmup=3, weight_decay=0.1)
    fast, plain = fresh(style).double(), fresh(style).double()
    pretrain(fast, MIXTURE, config, seed=3)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1.0, weight_decay=0.1, foreach=False)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(config, step))
    for step in range(config.steps):
        optimizer.zero_grad()
        padded_loss(plain, MIXTURE.draw(config.batch, numpy_rng(3, "data", step))).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0, foreach=False)
        optimizer.step()
        schedule.step()
    for (name, ours), theirs, start in zip(
        fast.named_parameters(), plain.parameters(), fresh(style).double().parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=0, msg=name)
        assert not torch.equal(ours, start), name


SHORT = PretrainConfig(steps=14, batch=8, warmup=3)


def note_loss(step: int, model: Transformer, loss: torch.Tensor | None) -> dict:
    return {"loss": None if loss is None else loss.item(), "norm": weights(model).norm().item()}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("killed_at", [2, 6, 8, 14])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, style, killed_at):
    """Killed before the first checkpoint, between two, on one, at the end: same weights, moments, log."""
    whole = fresh(style)
    log = pretrain(whole, MIXTURE, SHORT, 3, note_loss, tmp_path / "whole", checkpoint_every=4)

    def die(step: int, model: Transformer, loss: torch.Tensor | None) -> dict:
        if step == killed_at:
            raise KeyboardInterrupt
        return note_loss(step, model, loss)

    with pytest.raises(KeyboardInterrupt):
        pretrain(fresh(style), MIXTURE, SHORT, 3, die, tmp_path / "killed", checkpoint_every=4)
    assert (tmp_path / "killed").exists() == (killed_at > 4)
    resumed = fresh(style)
    assert pretrain(resumed, MIXTURE, SHORT, 3, note_loss, tmp_path / "killed", checkpoint_every=4) == log
    assert [row["step"] for row in log] == list(range(15))
    assert torch.equal(weights(resumed), weights(whole))
    ours, theirs = load_file(tmp_path / "killed"), load_file(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert any("exp_avg_sq" in name for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_finished_run_is_not_trained_further(tmp_path):
    model, again = fresh(), fresh()
    log = pretrain(model, MIXTURE, SHORT, 3, note_loss, tmp_path / "c")
    assert pretrain(again, MIXTURE, SHORT, 3, note_loss, tmp_path / "c") == log
    assert torch.equal(weights(again), weights(model))


def enough_at_five(step: int, model: Transformer, loss: torch.Tensor | None) -> dict:
    return {"norm": weights(model).norm().item(), ENOUGH: step == 5}


def test_training_ends_where_the_callback_says_that_it_is_enough_and_stays_ended(tmp_path):
    model, again, five = fresh(), fresh(), fresh()
    log = pretrain(model, MIXTURE, SHORT, 3, enough_at_five, tmp_path / "c", checkpoint_every=4)
    assert [row["step"] for row in log] == list(range(6))
    assert pretrain(again, MIXTURE, SHORT, 3, enough_at_five, tmp_path / "c", checkpoint_every=4) == log
    assert torch.equal(weights(again), weights(model))

    def die(step: int, model: Transformer, loss: torch.Tensor | None) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(five, MIXTURE, SHORT, 3, die)
    assert torch.equal(weights(five), weights(model))


def test_checkpoints_and_callbacks_do_not_change_the_run(tmp_path):
    plain, watched = fresh(), fresh()
    assert pretrain(plain, MIXTURE, SHORT, 3) == []
    pretrain(watched, MIXTURE, SHORT, 3, note_loss, tmp_path / "c", checkpoint_every=3)
    assert torch.equal(weights(plain), weights(watched))


def test_steps_that_take_long_are_kept_sooner(tmp_path, monkeypatch):
    """A run killed before its first regular checkpoint loses no more than the seconds allowed."""
    for seconds, kept in ((1e9, False), (0.0, True)):
        monkeypatch.setattr("ntprl.pretrain.CHECKPOINT_S", seconds)

        def die(step: int, model: Transformer, loss: torch.Tensor | None) -> None:
            if step == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pretrain(fresh(), MIXTURE, SHORT, 3, die, tmp_path / "c", checkpoint_every=100)
        assert (tmp_path / "c").is_file() == kept
    assert len(pretrain(fresh(), MIXTURE, SHORT, 3, note_loss, tmp_path / "c")) == SHORT.steps - 2


def test_another_seed_is_another_run():
    one, other = fresh(), fresh()
    pretrain(one, MIXTURE, SHORT, 3)
    pretrain(other, MIXTURE, SHORT, 4)
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.parametrize(
    ("mixture", "config", "seed", "word"),
    [
        (MIXTURE, SHORT, 4, "seed"),
        (Mixture(TASK, 0.5), SHORT, 3, "p_cot"),
        (MIXTURE, PretrainConfig(steps=15, batch=8, warmup=3), 3, "steps"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, refused, mixture, config, seed, word):
    pretrain(fresh(), MIXTURE, SHORT, 3, checkpoint_path=tmp_path / "c")
    with refused(tmp_path / "c", "another run", word):
        pretrain(fresh(), mixture, config, seed, checkpoint_path=tmp_path / "c")


def test_a_checkpoint_that_is_not_of_a_training_run_is_refused(tmp_path, refused):
    model = fresh()
    optimizer = make_optimizer(model, SHORT.lr)
    next_token_loss(model, MIXTURE.draw(4, numpy_rng(0, "data"))).backward()
    optimizer.step()
    checkpoint.save(tmp_path / "c", model, optimizer)
    with refused(tmp_path / "c"):
        pretrain(model, MIXTURE, SHORT, 3, checkpoint_path=tmp_path / "c")


def every_prompt(task: Parity) -> np.ndarray:
    return np.array([(*x, task.separator) for x in product((0, 1), repeat=task.d)])


@pytest.mark.parametrize("style", STYLES)
def test_chains_are_learned(style):
    task = Parity(4)
    model = fresh(style, task, width=32)
    pretrain(model, Mixture(task, 1), PretrainConfig(steps=250, batch=32, lr=5e-3, warmup=10), seed=0)
    prompts = every_prompt(task)
    assert greedy(model, prompts, task.eos, 5).tolist() == task.long(prompts).tolist()


def test_short_answers_alone_teach_nothing():
    """All 4096 prompts of 12 bits: no better than chance, to five standard deviations."""
    task = Parity(12)
    model = fresh(task=task)
    pretrain(model, Mixture(task, 0), PretrainConfig(steps=120, batch=32, lr=2e-3, warmup=10), seed=0)
    prompts = every_prompt(task)
    answers = greedy(model, prompts, task.eos, 13)
    assert answers.shape[1] == 2  # it does learn to answer at once
    assert abs(task.r_e2e(prompts, answers).mean() - 0.5) < 5 * 0.5 / len(prompts) ** 0.5
