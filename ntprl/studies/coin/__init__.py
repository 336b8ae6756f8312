"""Chapter 6: parity in words, for a Llama from random weights and for a published one."""

CHAPTER = "06_llama"
