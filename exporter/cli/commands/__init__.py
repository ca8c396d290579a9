"""The commands, a file each.

A file imports what its command needs within the function that runs it: --version, --help and each
TAB of completion import all of these files, and must not wait for the libraries.
"""
