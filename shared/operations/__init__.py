"""What a person may look at and change: one function per question. Each takes a pool and returns documents; nothing prints.

The command line and the console call the same functions, so that both see and do the same.
"""
