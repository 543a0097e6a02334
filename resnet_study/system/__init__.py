"""The system underneath: files, errors, signals, the machine."""
