//! Fan-out through Redis and its in-process twin.
