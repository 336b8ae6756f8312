"""A run that tests can stop half-way, and scripts that make sweeps of it until they are killed.

Workers import this file, so it imports little.
"""

import os
import runpy
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ntprl.book import store, sweep
from ntprl.book.run import Run, change
from ntprl.studies.catalogue import TABLES
from ntprl.studies.recovery.runs import recovery
from ntprl.tasks.parity import Parity


@dataclass(frozen=True)
class Held(Run):
    """A run that obeys a file at step 600, past its checkpoint of step 500: it waits, or kills its process."""

    order: str = ""  # path of the file, which says wait or die

    def measure(self, step, model):
        patience = time.monotonic() + 1200  # seconds; whoever gave the order may be dead
        while step == 600 and Path(self.order).is_file() and time.monotonic() < patience:
            if Path(self.order).read_text() == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.02)
        return super().measure(step, model)


HELD = change(Held(Parity(3)), n_layer=1, width=8, n_head=2, batch=8, warmup=1, n_eval=16, steps=700, n_points=7)
SHORT = recovery("smoke", d=5)  # with a start that other runs may share


def main(script: str, folder: str) -> None:
    """Run a script that sweeps a recording; instead it sweeps a short run and one that obeys folder/order."""
    import submitit

    submitit.SlurmExecutor.affinity = classmethod(lambda cls: -1)  # were Slurm here: jobs stay on this machine
    configs = (SHORT, change(HELD, order=f"{folder}/order"))
    for name in ("threshold", "threshold_paper"):
        TABLES[name] = replace(TABLES[name], configs=configs)
    store.runs_folder = sweep.runs_folder = lambda: Path(folder) / "runs"
    runpy.run_path(script, run_name="__main__")
