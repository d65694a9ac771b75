"""What a program tells about itself."""
