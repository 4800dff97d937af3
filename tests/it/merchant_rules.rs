//! Applications, papers and reviews on a real database.
