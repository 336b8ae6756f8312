"""What each chapter runs, records, claims and draws: one folder a chapter, the same four names in each."""
