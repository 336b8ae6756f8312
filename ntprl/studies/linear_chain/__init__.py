"""Chapter 3: the linear chain of both theorems."""

CHAPTER = "03_linear_chain"
