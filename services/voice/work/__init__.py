"""Parts of Voice's graph: what the record says (`reading`), and what nodes ask for (`writing`)."""
