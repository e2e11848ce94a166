"""What tools there are: our vendors' documents, imported ones, how they are read, and whom a tool is granted to."""
