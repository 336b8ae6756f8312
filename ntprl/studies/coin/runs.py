"""The runs of chapter 7 on parity in words: by a Llama from random weights, and by SmolLM2-135M-Instruct.

A chapter asks for `coin(profile, ...)` and calls `.recover()` or `.run()`.
"""

from ntprl.book.run import Reinforcement, Run
from ntprl.llama.models import LlamaModel, PublishedModel
from ntprl.tasks.coin import CoinProblems

FROM_RANDOM = Run(CoinProblems(), model=LlamaModel(), rl=Reinforcement(), kind="CoinRecovery")
PUBLISHED = Run(CoinProblems(), model=PublishedModel(), rl=Reinforcement(), kind="CoinPublished")
