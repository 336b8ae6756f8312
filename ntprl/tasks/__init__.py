"""What is asked, and what is right: one file a task, all of the form of `task.Task`."""
