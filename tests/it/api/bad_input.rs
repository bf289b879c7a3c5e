//! What comes of bad input: status, code and words, as a table.
