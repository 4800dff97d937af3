//! The GraphQL edge.
