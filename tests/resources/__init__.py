"""What commands do without room or permission: the commands that write, and the machine that they meet."""
