"""The degradation problem of deep networks: plain and residual networks side by side.

Reproduces the CIFAR-10 study of He et al. 2015, "Deep Residual Learning for Image
Recognition" (arXiv:1512.03385, §4.2).
"""

__version__ = "0.1.0"
