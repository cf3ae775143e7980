"""The bill room: AWS cost exports in, ``raw/bill_lines`` and ``raw/bill_files`` out.

In the order of the flow: ``stores`` (a folder or S3), ``arrivals`` and ``manifests`` (what
was delivered), ``exports`` (a month's deliveries), ``landing`` (S3 objects on disk),
``files`` and ``sources`` (a file as tables), ``columns`` and ``maps`` (names and values in
normal form), ``normal`` (lines in normal form), ``rules`` (what a bill must
be), ``engines`` (local, Spark), ``lines`` (a month into the lake). Beside it:
``reservations`` and ``ec2`` (what was bought ahead of time), ``catalogue`` (EC2's instance
types).
"""
