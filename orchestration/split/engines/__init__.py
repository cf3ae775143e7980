"""What runs the split over a month: batches of whole node-hours through the one kernel.

One module an engine. None of them holds arithmetic: that is ``split.batch``'s, so that
every engine books the same units.
"""
