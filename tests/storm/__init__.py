"""Group membership that never rests: consumers and workers that join, leave, freeze and die all the time."""
