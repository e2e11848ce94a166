"""Mail that comes in: what it says, who wrote it, which conversation it goes on with."""
