"""Llama models on mixtures of worked solutions and bare answers (chapter 6). Only training needs the llama extra."""
