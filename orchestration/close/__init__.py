"""The room where a month is closed: controls read, revisions published, figures shown.

``controls`` and ``contract`` say what must hold and what is written, ``ledger`` and
``manifest`` keep the revisions, ``publish`` puts them together, ``summary`` and
``statement`` read back what was published. Nothing here computes a cost.
"""
