"""Figures to touch: SVG and one small script in a cell's output, which ask for nothing else."""
