"""The split: what each pod cost in each hour, exactly, and what no pod claimed.

``kernel`` is the arithmetic over plain arrays, ``batch`` puts columns in and out of it,
``engines`` decide which batch runs where. What a node-hour's resources cost is decided
before, in SQL (``int_node_hours__weighed``); here it is only apportioned.
"""
