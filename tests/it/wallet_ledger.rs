//! The ledger's services on a real database.
