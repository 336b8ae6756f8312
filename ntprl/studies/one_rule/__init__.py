"""Chapter 8: one rule for all thresholds, beyond the paper."""

CHAPTER = "08_one_rule"
