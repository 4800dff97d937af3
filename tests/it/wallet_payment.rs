//! Orders, payments and refunds on a real database.
