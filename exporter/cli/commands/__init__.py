"""The commands, one file each.

Each command imports its libraries inside the function that runs it: --version, --help and every
completion import all of these files and must be fast.
"""
