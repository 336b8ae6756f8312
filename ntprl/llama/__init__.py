"""Llama models on mixtures of worked solutions and bare answers (chapter 7).

Only training needs more than the core: the live run the extra llama, TRL's trainers the extra trl.
"""
