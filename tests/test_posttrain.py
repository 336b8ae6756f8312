"""Reinforcement learning: what a round does and says, resuming bit for bit, and a model whose answers grow."""

import copy
import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ntprl.mixture import Mixture
from ntprl.policy_gradient import pack
from ntprl.posttrain import PosttrainConfig, coin, judged, packs, posttrain, update
from ntprl.pretrain import PretrainConfig, pretrain
from ntprl.seeds import torch_rng
from ntprl.tasks.parity import Parity
from ntprl.tasks.task import PAD
from ntprl.transformer import Transformer, TransformerConfig
from ntprl.weightings import ALGORITHMS

TASK = Parity(3)
SMALL = PosttrainConfig(rounds=4, rollouts=24, group=4, lr=1e-2)
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def weights(model: Transformer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def without_seconds(log: list[dict]) -> str:
    """Text that differs if a single bit does (NaN is equal to itself here)."""
    return json.dumps([{key: value for key, value in row.items() if key != "seconds"} for row in log])


def nothing(prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
    return np.zeros(len(answers))


# --- a model that learns ---


@pytest.fixture(scope="module")
def taught() -> Transformer:
    """Pre-trained on one long demonstration in four: it knows the chain and writes it a quarter of the time."""
    task = Parity(8)
    sizes = TransformerConfig(task.vocab_size, task.prompt_length + task.long_length, width=16, n_head=2)
    model = Transformer(sizes, torch_rng(0, "init"))
    pretrain(model, Mixture(task, 0.25), PretrainConfig(steps=300, batch=32, lr=5e-3, warmup=10), seed=0)
    return model


@algorithms
def test_every_algorithm_makes_answers_long_and_right(taught, algorithm):
    config = PosttrainConfig(algorithm=algorithm, rounds=10, rollouts=512, group=4, lr=2e-3)
    log = posttrain(copy.deepcopy(taught), Parity(8), config, seed=0)
    assert log[0]["rollout_long"] < 0.4
    assert log[0]["mean_reward"] < 0.7
    assert log[-1]["rollout_long"] > 0.75
    assert log[-1]["mean_reward"] > 0.8
    assert log[0]["long_reward"] > log[0]["short_reward"] + 0.2
    assert log[0]["rewarded_long"] > log[0]["rollout_long"]


def test_several_steps_on_the_same_answers_learn_faster(taught):
    one = PosttrainConfig(rounds=4, rollouts=512, group=4, lr=1e-3)
    several = replace(one, epochs=2, minibatches=2)
    first, second = (posttrain(copy.deepcopy(taught), Parity(8), c, seed=0) for c in (one, several))
    assert second[-1]["rollout_long"] > first[-1]["rollout_long"] + 0.1
    assert second[-1]["kl_from_start"] > first[-1]["kl_from_start"]


def test_the_penalty_holds_the_model_near_its_start(taught):
    config = PosttrainConfig(rounds=6, rollouts=256, group=4, lr=2e-3)
    moved = [
        posttrain(copy.deepcopy(taught), Parity(8), replace(config, kl=kl), seed=0)[-1]["kl_from_start"]
        for kl in (0.0, 1.0, 30.0)
    ]
    assert moved[0] > 2 * moved[1] > 4 * moved[2]


# --- rows ---


class Notes:
    """The task's own reward, with what was asked and answered."""

    def __init__(self, task: Parity):
        self.task, self.calls = task, []

    def __call__(self, prompts: np.ndarray, answers: np.ndarray) -> np.ndarray:
        rewards = self.task.r_e2e(prompts, answers).astype(float)
        self.calls.append((prompts.tolist(), answers.tolist(), rewards.tolist()))
        return rewards


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def test_rows_describe_the_answers_of_their_round(lively_model):
    """Everything counted again, answer by answer, in lists."""
    notes = Notes(TASK)
    log = posttrain(lively_model(TASK, scale=0.1), TASK, replace(SMALL, rollouts=48), 0, notes)
    assert [row["round"] for row in log] == [0, 1, 2, 3, 4]
    for row, (prompts, answers, rewards) in zip(log, notes.calls, strict=True):
        assert all(prompts[i] == prompts[i - i % 4] for i in range(48))  # a group shares its prompt
        written = [[token for token in answer if token != PAD] for answer in answers]
        length = [tokens.index(TASK.eos) if TASK.eos in tokens else len(tokens) for tokens in written]
        is_long = [n > 1 for n in length]
        pairs = list(zip(is_long, rewards, strict=True))
        expected = {
            "mean_reward": mean(rewards),
            "rollout_long": mean(is_long),
            "rewarded_long": mean([long for long, reward in pairs if reward > 0]),
            "long_reward": mean([reward for long, reward in pairs if long]),
            "short_reward": mean([reward for long, reward in pairs if not long]),
            "groups_without_signal": mean([len({*rewards[i : i + 4]}) == 1 for i in range(0, 48, 4)]),
            "mean_length": mean(length),
            "tokens": sum(map(len, written)),
        }
        assert {key: row[key] for key in expected} == pytest.approx(expected, nan_ok=True)
        assert row["length_share"] == pytest.approx([length.count(n) / 48 for n in range(5)])
    assert len({row["tokens"] for row in log}) > 1


def test_rows_say_how_far_the_model_has_moved(lively_model):
    log = posttrain(lively_model(TASK, scale=0.1), TASK, SMALL, 0)
    assert log[0]["kl_from_start"] == pytest.approx(0, abs=1e-6)
    assert all(0 <= row["entropy"] <= np.log(TASK.vocab_size) and row["seconds"] > 0 for row in log)
    assert all(row["grad_norm"] > 0 for row in log[:-1])
    assert np.isnan(log[-1]["grad_norm"])  # no update follows
    assert log[-1]["kl_from_start"] > 1e-3


def test_no_rounds_describe_the_start_and_leave_it(lively_model):
    model, before = lively_model(TASK), weights(lively_model(TASK))
    [row] = posttrain(model, TASK, replace(SMALL, rounds=0), 0, nothing)
    assert torch.equal(weights(model), before)
    assert np.isnan(row["rewarded_long"])  # nothing was rewarded
    assert row["mean_reward"] == row["long_reward"] == row["short_reward"] == 0
    assert row["groups_without_signal"] == 1


def test_answers_and_weights_depend_on_the_seed_alone(lively_model):
    def run(global_seed: int, seed: int) -> str:
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)
        return without_seconds(posttrain(lively_model(TASK), TASK, SMALL, seed))

    assert run(0, 1) == run(5, 1)
    assert run(0, 1) != run(0, 2)


class OnePrompt(Parity):
    def prompts(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.array([[0, 1, 1, self.separator]] * n)


def test_every_round_draws_anew(lively_model):
    """The same prompts to the same model: other answers in each round. Prompts differ from round to round too."""
    asked, answered = [], []

    def note(prompts, answers):
        asked.append(prompts.tolist())
        answered.append(answers.tolist())
        return np.zeros(len(answers))

    posttrain(lively_model(TASK, scale=0.1), OnePrompt(3), SMALL, 0, note)
    assert len({str(answers) for answers in answered}) == 5
    posttrain(lively_model(TASK, scale=0.1), TASK, SMALL, 0, note)
    assert len({str(prompts) for prompts in asked[5:]}) == 5


def test_the_callback_sees_the_model_of_its_row_and_adds_to_it(lively_model):
    plain, watched, seen = lively_model(TASK), lively_model(TASK), []

    def callback(done: int, model: Transformer) -> dict:
        seen.append(weights(model))
        return {"norm": seen[-1].norm().item(), "done": done}

    posttrain(plain, TASK, SMALL, 0)
    log = posttrain(watched, TASK, SMALL, 0, callback=callback)
    assert torch.equal(weights(plain), weights(watched))
    assert torch.equal(seen[0], weights(lively_model(TASK)))
    assert torch.equal(seen[-1], weights(watched))
    assert [(row["norm"], row["done"]) for row in log] == [(w.norm().item(), i) for i, w in enumerate(seen)]


def test_a_hot_run_asks_and_learns_at_its_temperature(lively_model):
    """A nearly greedy policy writes fewer different answers, and its loss is of the tempered policy."""
    cold, hot = (
        posttrain(lively_model(TASK), TASK, replace(SMALL, rollouts=96, temperature=t, rounds=0), 0)[0]
        for t in (0.05, 5.0)
    )
    assert max(cold["length_share"]) > max(hot["length_share"])
    assert cold["groups_without_signal"] > hot["groups_without_signal"]
    assert PosttrainConfig("grpo", temperature=0.5).loss_temperature == 0.5
    assert PosttrainConfig("star", temperature=0.5).loss_temperature == 1  # next-token training knows none


# --- an update ---


class Spy:
    """Stands in for an optimiser: notes rates and gradients, moves the weights where it is told to."""

    def __init__(self, model: Transformer, moves: list[Transformer] = ()):
        self.model, self.moves = model, list(moves)
        self.param_groups, self.rates, self.gradients = [{"lr": None}], [], []

    def step(self) -> None:
        self.rates.append(self.param_groups[0]["lr"])
        self.gradients.append([parameter.grad.clone() for parameter in self.model.parameters()])
        if self.moves:
            self.model.load_state_dict(self.moves.pop(0).state_dict())

    def zero_grad(self) -> None:
        self.model.zero_grad()


def a_batch(algorithm: str, n_prompts: int = 6, seed: int = 0):
    """Prompts, answers of one to four tokens, rewards by chance, packed: (prompts, answers, rewards, pack)."""
    rng = np.random.default_rng(seed)
    prompts = TASK.prompts(n_prompts, rng)
    answers = rng.integers(TASK.vocab_size, size=(4 * n_prompts, 4))
    answers[np.arange(4) > rng.integers(4, size=(4 * n_prompts, 1))] = PAD
    rewards = rng.integers(2, size=(n_prompts, 4)).astype(float)
    tables = ALGORITHMS[algorithm].weigh(rewards, (answers != PAD).sum(axis=1).reshape(-1, 4))
    return prompts, answers, rewards, pack(prompts, answers, *tables, "cpu")


def one_step(model: Transformer, config: PosttrainConfig, batch) -> list[torch.Tensor]:
    """Gradients of one inner step, clipping undone."""
    spy = Spy(model)
    norm = update(model, copy.deepcopy(model), spy, config, [batch])
    [gradients] = spy.gradients
    return [gradient * max(1.0, norm) for gradient in gradients]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_star_step_is_one_of_cross_entropy(lively_model, temperature):
    """Rollouts may be hot: what is learned is next tokens, at temperature 1."""
    model = lively_model(TASK).double()
    prompts, answers, rewards, batch = a_batch("star")
    kept = rewards.ravel() > 0
    asked, written = torch.as_tensor(prompts.repeat(4, axis=0)[kept]), torch.as_tensor(answers[kept])
    logits = model(torch.cat((asked, written.clamp(min=0)), dim=1)[:, :-1])[:, TASK.d :]
    expected = torch.autograd.grad(
        F.cross_entropy(logits.flatten(0, 1), written.flatten(), ignore_index=PAD), list(model.parameters())
    )
    ours = one_step(model, PosttrainConfig("star", temperature=temperature), batch)
    torch.testing.assert_close(ours, list(expected), atol=1e-6, rtol=1e-5)


@algorithms
def test_gradients_are_clipped_at_one_and_their_norm_is_told(lively_model, algorithm):
    model = lively_model(TASK, scale=1.0)
    batch, spy = a_batch(algorithm)[-1], Spy(model)
    norm = update(model, model, spy, PosttrainConfig(algorithm), [batch])
    assert norm > 1
    clipped = torch.cat([gradient.flatten() for gradient in spy.gradients[0]]).norm().item()
    assert clipped == pytest.approx(1, rel=1e-4)


def test_a_plain_step_is_the_rate_times_the_clipped_gradient(lively_model):
    model, config = lively_model(TASK), replace(SMALL, algorithm="reinforce", optimizer="sgd", rounds=1, lr=0.3)
    before = weights(model)
    log = posttrain(model, TASK, config, seed=0)
    moved = (weights(model) - before).norm().item()
    assert moved == pytest.approx(0.3 * min(1.0, log[0]["grad_norm"]), rel=1e-3)


def test_rates_fall_linearly_over_the_steps_of_a_round(lively_model):
    """Batches without a signal are no steps."""
    model = lively_model(TASK)
    full = [a_batch("reinforce", seed=seed)[-1] for seed in (0, 1)]
    prompts, answers, rewards, _ = a_batch("reinforce")
    empty = pack(prompts, answers, 0 * rewards, rewards + 1, "cpu")
    spy = Spy(model)
    update(model, model, spy, PosttrainConfig("reinforce", lr=0.1, epochs=2), [full[0], empty, full[1]])
    assert spy.rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    none = Spy(model)
    assert update(model, model, none, PosttrainConfig("reinforce"), [empty]) == 0
    assert none.rates == []


@pytest.mark.parametrize("algorithm", ["grpo", "reinforce"])
def test_the_old_policy_is_the_one_that_wrote_the_answers(lively_model, algorithm):
    """The second step starts elsewhere: GRPO weighs by pi / pi_old there, REINFORCE by nothing."""
    first, second = lively_model(TASK).double(), lively_model(TASK, scale=0.36).double()
    prompts, answers, rewards, batch = a_batch(algorithm)
    model = copy.deepcopy(first)
    spy = Spy(model, moves=[second])
    update(model, first, spy, PosttrainConfig(algorithm, group=4, epochs=2, clip=0.2), [batch])

    def logp(model: Transformer) -> torch.Tensor:
        asked, written = torch.as_tensor(prompts.repeat(4, axis=0)), torch.as_tensor(answers)
        logits = model(torch.cat((asked, written.clamp(min=0)), dim=1)[:, :-1])[:, TASK.d :]
        return -F.cross_entropy(logits.mT, written, ignore_index=PAD, reduction="none")

    advantage, denominator = ALGORITHMS[algorithm].weigh(rewards, (answers != PAD).sum(axis=1).reshape(-1, 4))
    weight = torch.as_tensor(advantage / denominator).reshape(-1, 1)
    now = logp(second)
    if algorithm == "grpo":
        ratio = (now - logp(first).detach()).exp()
        gain = torch.minimum(weight * ratio, weight * ratio.clamp(0.8, 1.2))
        assert ((ratio < 0.8).any(), (ratio > 1.2).any()) == (True, True)
    else:
        gain = weight * now
    expected = torch.autograd.grad(-gain.sum(), list(second.parameters()))
    norm = torch.cat([gradient.flatten() for gradient in expected]).norm().item()
    ours = [gradient * max(1.0, norm) for gradient in spy.gradients[1]]
    torch.testing.assert_close(ours, list(expected), atol=1e-6, rtol=1e-4)


def test_minibatches_are_fixed_shares_of_the_prompts_weighed_on_their_own():
    """STaR's weights in each half: 1 / D for every kept token, so that they add up to 1."""
    prompts, answers, rewards, _ = a_batch("star", n_prompts=16)
    halves = packs(prompts, answers, rewards, PosttrainConfig("star", group=4, minibatches=2), "cpu")
    written = [tuple(token for token in answer if token != PAD) for answer in answers.tolist()]
    kept = [i for i in range(64) if rewards.ravel()[i]]
    for half, rows in zip(halves, (range(32), range(32, 64)), strict=True):
        assert {*map(tuple, half.prompts.tolist())} == {tuple(prompts[i // 4]) for i in kept if i in rows}
        assert sum(part.copies.sum().item() for part in half.parts) == sum(i in rows for i in kept) > 0
        total = sum((part.up * (part.tokens != PAD).sum(dim=1)).sum().item() for part in half.parts)
        assert total == pytest.approx(1, rel=1e-6)
        packed = {tuple(t for t in row if t != PAD) for part in half.parts for row in part.tokens.tolist()}
        assert packed == {written[i] for i in kept if i in rows}


# --- no signal ---


@algorithms
def test_rounds_without_a_signal_change_nothing_and_go_on(lively_model, algorithm):
    model, before, lines = lively_model(TASK), weights(lively_model(TASK)), []
    config = replace(SMALL, algorithm=algorithm, epochs=2, minibatches=3)
    log = posttrain(model, TASK, config, 0, nothing, report=lines.append)
    assert torch.equal(weights(model), before)
    assert [row["grad_norm"] for row in log[:-1]] == [0, 0, 0, 0]
    assert len(lines) == 4
    assert all(f"round {i}" in line and len(line.splitlines()) == 1 for i, line in enumerate(lines))
    assert log[-1]["kl_from_start"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("value", [0.1, 1.0])
def test_all_answers_right_are_no_signal_but_for_star(lively_model, value):
    def always(prompts, answers):
        return np.full(len(answers), value)

    for algorithm in ALGORITHMS:
        model = lively_model(TASK)
        posttrain(model, TASK, replace(SMALL, algorithm=algorithm), 0, always)
        assert torch.equal(weights(model), weights(lively_model(TASK))) == (algorithm != "star")


def test_the_moments_of_the_optimiser_move_nothing_by_themselves(lively_model):
    """A signal in the first round alone: the weights stay where it took them."""
    seen, calls = [], []

    def once(prompts, answers):
        calls.append(len(answers))
        return TASK.r_e2e(prompts, answers) * (len(calls) == 1)

    posttrain(lively_model(TASK), TASK, SMALL, 0, once, callback=lambda done, model: seen.append(weights(model)) or {})
    assert not torch.equal(seen[0], seen[1])
    assert all(torch.equal(seen[1], later) for later in seen[2:])


# --- checkpoints ---


def die_at(killed_at: int):
    def callback(done: int, model: Transformer) -> dict:
        if done == killed_at:
            raise KeyboardInterrupt
        return {"norm": weights(model).norm().item()}

    return callback


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, algorithm="star", epochs=2, temperature=1.5),
        replace(SMALL, algorithm="grpo", epochs=2, minibatches=3, kl=0.1),
        replace(SMALL, algorithm="reinforce", optimizer="sgd"),
        replace(SMALL, algorithm="reinforce", reward="r_cot"),
    ],
    ids=lambda config: config.algorithm,
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path, lively_model, config):
    """Killed before the first checkpoint, after one, at the last row: same weights, same rows."""
    whole = lively_model(TASK)
    log = posttrain(whole, TASK, config, 3, callback=die_at(99))
    assert not torch.equal(weights(whole), weights(lively_model(TASK)))
    for killed_at in (0, 1, 4):
        path = tmp_path / str(killed_at)
        with pytest.raises(KeyboardInterrupt):
            posttrain(lively_model(TASK), TASK, config, 3, callback=die_at(killed_at), checkpoint_path=path)
        assert path.exists() == (killed_at > 0)
        resumed = lively_model(TASK)
        again = posttrain(resumed, TASK, config, 3, callback=die_at(99), checkpoint_path=path)
        assert without_seconds(again) == without_seconds(log)
        assert torch.equal(weights(resumed), weights(whole))


def test_a_finished_run_is_not_trained_further(tmp_path, lively_model):
    model, again = lively_model(TASK), lively_model(TASK)
    log = posttrain(model, TASK, SMALL, 3, checkpoint_path=tmp_path / "c")
    assert without_seconds(posttrain(again, TASK, SMALL, 3, checkpoint_path=tmp_path / "c")) == without_seconds(log)
    assert torch.equal(weights(again), weights(model))


def test_a_run_without_any_signal_resumes_too(tmp_path, lively_model):
    """Its optimiser has never stepped, so that the checkpoint holds no moments."""
    with pytest.raises(KeyboardInterrupt):
        posttrain(lively_model(TASK), TASK, SMALL, 3, nothing, die_at(2), checkpoint_path=tmp_path / "c")
    log = posttrain(lively_model(TASK), TASK, SMALL, 3, nothing, die_at(99), checkpoint_path=tmp_path / "c")
    assert [row["round"] for row in log] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        dict(seed=4),
        dict(config=replace(SMALL, algorithm="reinforce")),
        dict(config=replace(SMALL, rounds=5)),
        dict(config=replace(SMALL, lr=0.02)),
        dict(reward=nothing),
        dict(start=1),
        dict(task=Parity(4)),
        dict(task=Parity(3, 3)),
    ],
    ids=lambda change: "".join(change),
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, lively_model, refused, change):
    posttrain(lively_model(TASK), TASK, SMALL, 3, checkpoint_path=tmp_path / "c")
    run = dict(task=TASK, config=SMALL, seed=3, reward=None, start=0) | change
    model = lively_model(run["task"], seed=run["start"])
    with refused("checkpoint", tmp_path / "c"):
        posttrain(model, run["task"], run["config"], run["seed"], run["reward"], checkpoint_path=tmp_path / "c")


def test_the_checkpoint_of_pre_training_is_refused(tmp_path, lively_model, refused):
    pretrain(
        lively_model(TASK), Mixture(TASK, 0.5), PretrainConfig(steps=2, batch=4), 3, checkpoint_path=tmp_path / "c"
    )
    with refused("checkpoint", tmp_path / "c", "another run"):
        posttrain(lively_model(TASK), TASK, SMALL, 3, checkpoint_path=tmp_path / "c")


# --- rewards of the user ---


def one_short(prompts, answers):
    return np.ones(len(answers) - 1)


def not_a_number(prompts, answers):
    return np.where(np.arange(len(answers)) == 1, np.nan, 1.0)


def of_words(prompts, answers):
    return ["good"] * len(answers)


def broken_at_length(prompts, answers):
    raise ValueError("first line\n  second line\n")


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (one_short, ["shape (23,)", "(24,)"]),
        (not_a_number, ["nan", "finite"]),
        (of_words, ["good"]),
        (broken_at_length, ["ValueError", "first line"]),
    ],
)
def test_a_bad_reward_is_refused_by_name_in_one_line(lively_model, refused, reward, words):
    with refused("reward", reward.__name__, *words):
        posttrain(lively_model(TASK), TASK, SMALL, 0, reward)


def test_a_reward_without_a_name_is_shown(refused):
    with refused("reward", "one_short"):
        judged(functools.partial(one_short), np.zeros((3, 4), int), np.zeros((3, 2), int))


@pytest.mark.parametrize("values", [[True, False], [1, 0], np.array([1.0, 0.0], np.float32), torch.tensor([1.0, 0.0])])
def test_rewards_may_be_of_any_kind_of_number(values):
    rewards = judged(lambda prompts, answers: values, np.zeros((2, 4), int), np.zeros((2, 2), int))
    assert rewards.dtype == np.float64
    assert rewards.tolist() == [1, 0]


def test_a_reward_gets_a_prompt_for_each_answer_and_is_what_is_learned(lively_model):
    """Rewarding zeros makes more of them."""

    def zeros(prompts, answers):
        assert prompts.shape == (256, 4)
        assert len(answers) == 256
        return (answers == 0).mean(axis=1)

    log = posttrain(lively_model(TASK, scale=0.1), TASK, replace(SMALL, rounds=8, rollouts=256), 0, zeros)
    assert log[-1]["mean_reward"] > log[0]["mean_reward"] + 0.3


@pytest.mark.parametrize("name", ["r_e2e", "r_cot"])
def test_the_named_reward_is_that_of_the_task(lively_model, name):
    by_name = posttrain(lively_model(TASK), TASK, replace(SMALL, reward=name), 0)
    by_hand = posttrain(lively_model(TASK), TASK, SMALL, 0, getattr(TASK, name))
    assert without_seconds(by_name) == without_seconds(by_hand)


def test_the_coin_is_fair_knows_nothing_and_falls_the_same_way_again(lively_model):
    generator = np.random.default_rng(0)
    prompts, answers = generator.integers(2, size=(20_000, 4)), generator.integers(2, size=(20_000, 3))
    first = coin(prompts, answers)
    assert (first == coin(prompts, answers)).all()
    assert (first != coin(prompts[::-1], answers)).mean() == pytest.approx(0.5, abs=0.02)
    for bit in (np.ones(20_000, bool), prompts[:, 0] == 1, answers[:, 0] == 1, answers.sum(axis=1) > 1):
        assert first[bit].mean() == pytest.approx(0.5, abs=0.03)
    by_name = posttrain(lively_model(TASK), TASK, replace(SMALL, reward="coin"), 0)
    assert without_seconds(by_name) == without_seconds(posttrain(lively_model(TASK), TASK, SMALL, 0, coin))


# --- configurations ---


@pytest.mark.parametrize(
    "changes",
    [
        *[dict(algorithm="ppo"), dict(reward="r_length"), dict(temperature=0), dict(rounds=-1), dict(rollouts=30)],
        *[dict(group=0), dict(group=1), dict(group=1, algorithm="grpo_published"), dict(epochs=0)],
        *[dict(minibatches=3), dict(lr=-0.1), dict(clip=1.5), dict(kl=-1), dict(optimizer="adam")],
    ],
    ids=str,
)
def test_bad_configurations_are_refused(refused, changes):
    name, value = next(iter(changes.items()))
    with refused(f"{name} = {value!r}", "must be"):
        PosttrainConfig(**changes)


@pytest.mark.parametrize("algorithm", ["star", "reinforce"])
def test_a_group_of_one_is_fine_where_nothing_is_compared_within_it(lively_model, algorithm):
    config = PosttrainConfig(algorithm, rounds=1, rollouts=8, group=1)
    assert config.prompts == 8
    assert len(posttrain(lively_model(TASK), TASK, config, 0)) == 2
