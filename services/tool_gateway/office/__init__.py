"""What agents await besides vendors: each other, moments, people. Asked for by tool calls, ended here."""
