"""ntprl: reinforcement learning after next-token prediction, reproduced."""

__version__ = "0.1.0"
