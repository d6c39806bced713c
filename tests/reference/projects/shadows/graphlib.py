raise ImportError("a project's file hides a module of Python's")
