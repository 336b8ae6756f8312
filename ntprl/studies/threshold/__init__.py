"""Chapter 2: next-token prediction on the mixture, and its threshold."""

CHAPTER = "02_pretraining_threshold"
