"""The degradation problem of deep networks: plain and residual networks side by side.

Reproduces the CIFAR-10 study of He et al. 2015, "Deep Residual Learning for Image
Recognition" (arXiv:1512.03385, §4.2).
"""

import sys

from resnet_study.system.command import prepare

__version__ = "0.1.0"

# sys.argv[0] is "-m" while `python -m` looks for its module. So every command is prepared before
# its other imports, and a notebook that imports this package is left alone.
if sys.argv[:1] == ["-m"]:
    prepare()
