//! The edge and the processes of 好店: HTTP, GraphQL, jobs, simulators, the launcher. The only place that knows all crates.

pub mod app;
pub mod bench;
pub mod channel;
pub mod config;
pub mod doctor;
pub mod fanout;
pub mod graphql;
pub mod http;
pub mod jobs;
pub mod launcher;
pub mod products;
pub mod seed;
pub mod sim;
pub mod telemetry;
pub mod ticket;
