"""The linear chain of both theorems: chapter 3 and its proofs."""
