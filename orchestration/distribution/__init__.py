"""Distribution: who carries what nobody used, and what all share, by a written policy."""
