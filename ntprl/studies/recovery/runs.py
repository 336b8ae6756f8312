"""The runs of chapter 4: both phases on parity.

A chapter asks for `recovery(profile, ...)` and calls `.recover()` or `.run()`.
"""

from ntprl.book.run import PROFILES, Reinforcement, Run, change, from_profile, steps_for
from ntprl.tasks.parity import Parity

RECOVERY = Run(Parity(), rl=Reinforcement(), kind="RecoveryRun")


RL_PROFILES = {
    "smoke": PROFILES["smoke"] | dict(rounds=3, rollouts=64, group=4, n_eval_rl=64),
    "laptop": PROFILES["laptop"] | dict(eval_every=2),
    "paper": PROFILES["paper"] | dict(rounds=40, rollouts=1024, rl_lr=3e-4, n_eval_rl=4096),
}


def recovery(profile: str = "laptop", steps: int = 0, **overrides) -> Run:
    """Both phases at the size of a profile, with some fields changed.

    steps = 0 takes the profile's; laptop's are meant for p_cot = .25, so rarer long demonstrations get
    more of them, in proportion, up to twenty times as many.
    """
    run = from_profile(RECOVERY, RL_PROFILES, profile, overrides)
    if steps == 0:
        usual = run.pretraining.steps
        steps = steps_for(run.p_cot, usual) if profile == "laptop" else usual
    return change(run, steps=steps)
