"""The machinery of the book, which knows no chapter: runs, recordings, tables, verdicts, the style of figures."""
