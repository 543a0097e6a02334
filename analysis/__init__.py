"""Figures, tables and verdicts from what is in `runs/`. Never imports torch."""
