"""Multiplication: chapter 5."""
