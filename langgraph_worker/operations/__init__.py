"""What people and programs do with a fleet: look at runs, ask for them, steer them.

``cli`` and ``api`` are two forms of it.
"""
