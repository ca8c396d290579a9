"""What commands print for people: progress while they wait, and aligned rows."""
