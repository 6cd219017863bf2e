"""How fast outhaul is, beside the tools that people would use instead. See README.md."""
