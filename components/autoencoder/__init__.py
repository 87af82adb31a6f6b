"""The autoencoder: its network, and the Trainer function that fits and exports it."""
