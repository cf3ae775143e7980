"""The command line: close a month, read it back, look whether one could be closed.

One module a command. Whatever works is imported by the command that needs it, when it is
called, so that ``podledger --help`` answers at once. ``runner.py`` runs a close in this
process, ``examination.py`` is what ``doctor`` asks, ``dbt_docs.py`` is ``make docs``.
"""

from orchestration.cli.app import main as main
