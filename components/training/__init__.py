"""What both Trainers need: input, export, progress, and a process of their own."""
