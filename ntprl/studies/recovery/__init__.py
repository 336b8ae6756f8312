"""Chapter 4: reinforcement learning after pre-training."""

CHAPTER = "04_rl_recovery"
