"""Chapter 6: problems in words, by a Llama."""

CHAPTER = "06_llama"
