"""What finance is handed: the charges of a published month in its own forms."""
