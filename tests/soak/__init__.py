"""A fleet under a steady, mixed load for as long as one likes: nothing may grow, and every figure has to be true."""
