//! The whole daemon: a real `roomd` process with a real broker, browser, disk and film.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods)]

mod arriving;
mod asyncapi;
mod bad_datagrams;
mod bad_signalling;
mod bad_tokens;
mod badlink;
mod broker;
mod call;
mod commands;
mod ctl;
mod desired_config;
mod disk;
mod environment;
mod film;
mod fleet;
mod gate;
mod guest;
mod http;
mod jobs;
mod lab;
mod lan;
mod live;
mod live_servers;
mod manager;
mod mqtt;
mod network;
mod nginx;
mod once;
mod page;
mod pair;
mod parts;
mod process;
mod recording;
mod room_page;
mod roomd;
mod service;
mod service_jobs;
mod tree;
mod webhooks;
mod world;
