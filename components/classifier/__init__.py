"""The classifier: its network, and the Trainer function that fits it on reconstructions and exports both."""
