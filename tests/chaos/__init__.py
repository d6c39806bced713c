"""The proof under fire: thousands of runs while workers, broker and database are killed and restarted."""
