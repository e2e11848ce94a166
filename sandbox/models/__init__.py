"""Model servers that speak the providers' wire formats and check what they are sent as strictly as the providers do."""
