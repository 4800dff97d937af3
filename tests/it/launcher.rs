//! The launcher, its doctor and its private services.
