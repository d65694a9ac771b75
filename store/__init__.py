"""PostgreSQL: the tables, the states of a task, and every statement."""
