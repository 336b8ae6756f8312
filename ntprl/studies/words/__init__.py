"""Chapter 7: problems in words, by a Llama."""

CHAPTER = "07_llama"
