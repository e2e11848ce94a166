"""Parts of Closer's graph: what the record says (`reading`), what nodes write (`writing`), and two of its flows."""
