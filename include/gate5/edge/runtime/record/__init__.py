"""What a run leaves behind: a flight recorder, metrics and summaries, made in a process of their own."""
