"""Figures, tables and verdicts from what is in `runs/`. Never imports torch."""

import resnet_study  # noqa: F401 - prepares commands, before anything imports matplotlib
