"""How fast this machine trains these networks, and how fast it could."""
