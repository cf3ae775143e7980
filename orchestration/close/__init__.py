"""The room where a month is closed: controls read, revisions published, figures shown.

``controls`` say what must hold, ``export`` writes the parts of a revision, ``publish`` puts
them together in the books of ``ledger/``, ``summary`` reads back what was published.
Nothing here computes a cost.
"""
