"""The library of functions, a room for each subject."""
