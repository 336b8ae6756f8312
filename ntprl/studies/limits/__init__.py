"""Chapter 5: how far reinforcement learning reaches, and where it ends."""

CHAPTER = "05_limits"
