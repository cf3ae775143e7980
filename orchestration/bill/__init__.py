"""The bill room: AWS cost exports in, ``raw/bill_lines`` and ``raw/bill_files`` out.

In the order of the flow: ``stores`` (a folder or S3), ``manifests`` (what was delivered),
``exports`` (a month's deliveries), ``landing`` (S3 objects on disk), ``sources`` (a file as
tables), ``columns``, ``cells`` and ``maps`` (names and values in normal form), ``normal``
(lines in normal form), ``rules`` (what a bill must be), ``lines`` (a month into the lake).
"""
