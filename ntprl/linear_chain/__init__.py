"""The linear chain of both theorems: the model, its SGD, its training, and the variants beyond the paper."""
