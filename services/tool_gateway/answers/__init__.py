"""What vendors answer: bytes to text to values, and what they say to a model. Knows no call and has no effect."""
