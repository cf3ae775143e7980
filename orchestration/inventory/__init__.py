"""The inventory room: which pods held which nodes, and what a node's devices are.

Holds the sources of pod-hours, their reading into the lake (``ingest.py`` is the way in),
the device equivalents of requests, and who owns which pods. It knows nothing of money:
costs are met only in the split room.
"""
