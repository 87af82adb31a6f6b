"""What the parts of the page show, one module each: a frozen value and the function that makes it."""
