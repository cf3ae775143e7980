"""The split against what else one could do with a month: ``make bench SIZE=S|M|L``.

Made worlds, one process a contender, outputs compared to the last unit. Nothing here is
part of the product, and no test holds a time.
"""
