"""Pre-training and reinforcement learning as one run: its parts, its table, and starts that runs share."""

import copy

import pandas as pd
import pytest
import torch

from ntprl.book.run import PROFILES, Reinforcement, Run, change, config_hash, flat
from ntprl.errors import InputError
from ntprl.measure import chain_probabilities, long_probability, measure
from ntprl.posttrain import PosttrainConfig, posttrain
from ntprl.seeds import numpy_rng, torch_rng
from ntprl.studies.limits.runs import UnknownLinks
from ntprl.studies.recovery.runs import RECOVERY, RL_PROFILES, recovery
from ntprl.studies.threshold.runs import PRETRAINING
from ntprl.tasks.parity import Parity
from ntprl.transformer import Transformer

FIRST_PHASE = dict(d=3, n_layer=1, width=8, n_head=2, steps=6, batch=8, warmup=2, n_eval=16, n_points=2)
TINY = change(RECOVERY, **FIRST_PHASE, rounds=4, rollouts=24, group=4, rl_lr=1e-2, n_eval_rl=12)


def weights(model: Transformer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Equal to the last bit, but for the time it took."""
    return one.drop(columns="seconds").equals(other.drop(columns="seconds"))


@pytest.fixture
def no_pretraining(monkeypatch):
    """From here on a step of pre-training fails."""

    def forbid() -> None:
        monkeypatch.setattr("ntprl.pretrain.next_token_loss", None)

    return forbid


@pytest.mark.parametrize("name", ["lr", "rl_lr", "n_eval_rl", "eval_every"])
def test_a_bad_value_is_refused_by_its_flat_name(name):
    """Both phases have a learning rate: one is not blamed for the other's."""
    with pytest.raises(InputError) as caught:
        change(TINY, **{name: "fast"})
    assert str(caught.value).startswith(f"{name} = 'fast'")


def test_a_hash_names_every_field():
    changes = dict(
        algorithm="star", reward="r_cot", temperature=2.0, rounds=5, rollouts=48, group=2, rl_lr=0.1, epochs=2,
        minibatches=2, clip=0.1, kl=0.05, n_eval_rl=9, eval_every=2, optimizer="sgd",
    )  # fmt: skip
    assert set(changes) == flat(RECOVERY).keys() - flat(PRETRAINING).keys()
    hashes = {config_hash(change(TINY, **{name: value})) for name, value in changes.items()}
    assert len(hashes | {config_hash(TINY)}) == 1 + len(changes)


def test_the_start_is_the_pretraining_run_of_the_same_fields():
    fields = dict(seed=3, modulus=3, p_cot=0.4, style="mistral", lr=0.01, cooldown=0.25, weight_decay=0.1)
    run = change(TINY, **fields)
    expected = change(PRETRAINING, **FIRST_PHASE | fields, kind="start on Parity")
    assert run.start == expected
    assert type(run.start) is Run
    assert config_hash(run.start) == config_hash(expected) != config_hash(run)
    assert change(TINY, algorithm="star", rounds=9).start == TINY.start
    assert change(TINY, seed=1).start != TINY.start
    assert TINY.start.start is None


def test_a_run_is_its_parts_with_its_seed_in_each_of_them():
    run = change(TINY, seed=3, style="mistral", algorithm="reinforce")
    result = run.recover()
    start, before_rl = run.start.train()
    assert torch.equal(weights(result.before), weights(start))
    by_hand = copy.deepcopy(start)
    second_phase = PosttrainConfig(algorithm="reinforce", rounds=4, rollouts=24, group=4, lr=1e-2)
    log = posttrain(by_hand, run.task, second_phase, 3)
    assert torch.equal(weights(result.after), weights(by_hand))
    assert not torch.equal(weights(result.after), weights(result.before))

    table = result.table
    first, second = (table[table["phase"] == phase] for phase in ("pretraining", "rl"))
    assert len(first) + len(second) == len(table)
    assert first[before_rl.columns].equals(before_rl)
    assert second["step"].tolist() == [row["round"] for row in log] == [0, 1, 2, 3, 4]
    for column in set(log[0]) - {"round", "seconds", "length_share"}:
        assert second[column].tolist() == pytest.approx([row[column] for row in log], nan_ok=True, rel=1e-12)
    assert result.length_share.tolist() == [row["length_share"] for row in log]


def test_rounds_are_measured_with_fresh_prompts():
    """The last row against the model that is left."""
    run = change(TINY, seed=2)
    result = run.recover()
    last = result.table.iloc[-1]
    expected = measure(result.after, run.task, 12, 2, 4)
    prompts = run.task.prompts(12, numpy_rng(2, "evaluation", 4))
    by_draw = long_probability(result.after, run.task, prompts, torch_rng(2, "evaluation", 4))
    expected["long_probability"] = by_draw.mean()
    assert {name: last[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_the_table_has_both_phases_in_columns_that_they_share():
    table = TINY.recover().table
    assert table["phase"].tolist() == ["pretraining"] * 3 + ["rl"] * 5
    assert table["step"].tolist() == [0, 3, 6, 0, 1, 2, 3, 4]
    for column in ("greedy_accuracy", "greedy_long", "sampled_accuracy", "chain_accuracy", "link_error", "n_eval"):
        assert table[column].notna().all()
    for column in ("mean_reward", "rollout_long", "entropy", "kl_from_start", "tokens", "seconds", "long_probability"):
        assert table[column].isna().tolist() == [True] * 3 + [False] * 5
    assert "length_share" not in table
    assert "round" not in table


@pytest.mark.parametrize(
    ("eval_every", "rounds", "measured"), [(1, 2, [0, 1, 2]), (2, 5, [0, 2, 4, 5]), (9, 3, [0, 3]), (2, 0, [0])]
)
def test_the_first_and_the_last_round_are_always_measured(eval_every, rounds, measured):
    table = change(TINY, eval_every=eval_every, rounds=rounds).run()
    during = table[table["phase"] == "rl"]
    assert during["step"].tolist() == list(range(rounds + 1))
    for column in ("greedy_accuracy", "long_probability"):
        assert during.loc[during[column].notna(), "step"].tolist() == measured
    assert during["mean_reward"].notna().all()


def test_measuring_less_often_changes_nothing_else():
    often, rarely = (change(TINY, eval_every=n).recover() for n in (1, 3))
    assert torch.equal(weights(often.after), weights(rarely.after))
    assert often.table["mean_reward"].equals(rarely.table["mean_reward"])


def test_a_trained_start_is_left_for_other_runs(tmp_path, no_pretraining):
    """One of another algorithm reads it: not a step of pre-training is taken."""
    first, second = TINY, change(TINY, algorithm="star")
    alone = second.recover()
    shared = first.recover(folder=tmp_path)
    start = tmp_path / f"start-{config_hash(first.start)}.safetensors"
    content = start.read_bytes()
    no_pretraining()
    reused = second.recover(folder=tmp_path)
    assert start.read_bytes() == content
    assert torch.equal(weights(reused.before), weights(shared.before))
    assert torch.equal(weights(reused.before), weights(alone.before))
    assert torch.equal(weights(reused.after), weights(alone.after))
    assert not torch.equal(weights(reused.after), weights(shared.after))
    assert same(reused.table, alone.table)
    assert [path.name for path in tmp_path.glob("start-*")] == [start.name]


@pytest.mark.parametrize("killed_at", [0, 3])
def test_a_killed_run_goes_on_to_the_same_table(tmp_path, monkeypatch, no_pretraining, killed_at):
    run = change(TINY, epochs=2)
    whole = run.recover()

    def dying(self, done: int, model: Transformer) -> dict:
        if done == killed_at:
            raise KeyboardInterrupt
        return measure_round(self, done, model)

    measure_round = Run.measure_round
    with monkeypatch.context() as patch:
        patch.setattr(Run, "measure_round", dying)
        with pytest.raises(KeyboardInterrupt):
            run.recover(folder=tmp_path)
    no_pretraining()
    resumed = run.recover(folder=tmp_path)
    assert same(resumed.table, whole.table)
    assert torch.equal(weights(resumed.before), weights(whole.before))
    assert torch.equal(weights(resumed.after), weights(whole.after))
    assert (resumed.length_share == whole.length_share).all()


def test_a_start_that_lacks_links_ends_with_as_many_unknown(tmp_path):
    """Six bits: at first no link is known, and they are learned one after the other."""
    run = change(
        UnknownLinks(Parity(6), rl=Reinforcement(rounds=2, rollouts=64, n_eval_rl=128)),
        steps=400,
        cooldown=0.0,
        n_points=80,
        n_eval=256,
        batch=64,
    )
    found = {}
    for unknown in (5, 2, 0):
        start = change(run, unknown=unknown).start
        assert start.kind == "start on Parity, measured by UnknownLinks"
        model, table = start.trained(tmp_path)
        assert (table["unknown_links"].iloc[:-1] > unknown).all()
        assert table["unknown_links"].iloc[-1] <= unknown
        prompts = run.task.prompts(2000, numpy_rng(1, "evaluation"), test=True)
        links = chain_probabilities(model, run.task, prompts)[0].mean(axis=0)[1:-1]
        found[unknown] = int((links < 0.75).sum())
    assert found[5] == 5
    assert found[5] >= found[2] >= found[0] == 0
    rows = change(run, unknown=0).run(folder=tmp_path).query("phase == 'rl'")
    assert (rows["unknown_links"] == 0).all()


def test_run_keeps_its_files_in_its_folder(tmp_path):
    table = TINY.run("cpu", tmp_path)
    assert same(table, TINY.run())
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {f"{config_hash(TINY)}.safetensors", f"start-{config_hash(TINY.start)}.safetensors"}


def test_a_reward_of_the_user_replaces_the_named_one():
    def zeros(prompts, answers):
        return (answers == 0).mean(axis=1)

    named, own = TINY.recover(), TINY.recover(reward=zeros)
    assert torch.equal(weights(named.before), weights(own.before))
    assert not torch.equal(weights(named.after), weights(own.after))


def test_another_reward_does_not_go_on_from_this_ones_checkpoint(tmp_path, refused):
    def zeros(prompts, answers):
        return (answers == 0).mean(axis=1)

    TINY.recover(folder=tmp_path)
    with refused("checkpoint", "another run", "zeros"):
        TINY.recover(folder=tmp_path, reward=zeros)


@pytest.mark.parametrize("profile", RL_PROFILES)
def test_profiles_are_of_the_main_experiment(profile):
    run = recovery(profile, seed=4)
    assert (run.task.d, run.p_cot, run.task.modulus, run.seed) == (50, 0.25, 2, 4)
    assert set(RL_PROFILES) == set(PROFILES)
    of_chapter_02 = change(PRETRAINING, **PROFILES[profile], seed=4)
    assert run.start == change(of_chapter_02, kind=run.start.kind)


@pytest.mark.parametrize(
    ("profile", "p_cot", "times"),
    [("laptop", 0.5, 1), ("laptop", 0.125, 2), ("laptop", 0.001, 20), ("laptop", 0, 1), ("paper", 0.05, 1)],
)
def test_rare_long_demonstrations_get_more_steps_on_a_laptop(profile, p_cot, times):
    assert recovery(profile, p_cot=p_cot).pretraining.steps == times * recovery(profile).pretraining.steps
    assert recovery(profile, p_cot=p_cot, steps=7).pretraining.steps == 7
