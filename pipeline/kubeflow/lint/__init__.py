"""What `lint` looks for, one function to a rule: `form` of the file, `graph` of tasks, `containers` and what they run."""
