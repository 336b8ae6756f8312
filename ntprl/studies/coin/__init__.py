"""Chapter 7: parity in words, for a Llama from random weights and for a published one."""

CHAPTER = "07_llama"
