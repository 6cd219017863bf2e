"""The others, each in a process of its own. These modules run where the peers are installed."""
