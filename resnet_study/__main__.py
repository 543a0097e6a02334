"""Command line: `python -m resnet_study`."""

from resnet_study.cli import main

if __name__ == "__main__":
    main()
