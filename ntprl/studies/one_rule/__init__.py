"""Chapter 3, beyond the paper: one rule for the thresholds of other data."""

CHAPTER = "03_linear_chain"
