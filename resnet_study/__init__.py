"""The degradation problem of deep networks: plain and residual networks side by side.

Reproduces the CIFAR-10 study of He et al. 2015, "Deep Residual Learning for Image
Recognition" (arXiv:1512.03385, §4.2).
"""

import sys

from resnet_study.system.command import prepare

__version__ = "0.1.0"

# Python's name of a program while it looks for the module of `python -m`. So this prepares every
# command before it imports anything else, and no notebook that imports this package.
if sys.argv[:1] == ["-m"]:
    prepare()
