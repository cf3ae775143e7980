"""The inventory room: which pods held which nodes, and what a node's devices are.

Holds the sources of pod-hours, their reading into the lake, the catalogue of instance
types and the device equivalents of accelerator requests. It knows nothing of money:
costs are met only in the split room.
"""
