"""The room where a month is closed: controls read, revisions published, figures shown.

``controls`` and ``contract`` say what must hold and what is written, ``ledger`` and
``manifest`` keep the revisions, ``export`` writes their parts, ``publish`` puts them
together, ``summary`` reads back what was published. Nothing here computes a cost.
"""
