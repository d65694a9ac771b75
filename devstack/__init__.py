"""What `make up` runs on one machine: servers, programs, and what starts them again."""
